//! One attempt: the breaker lets it through or not, a time-out bounds it, and the breaker is told how it went.

use std::{sync::Arc, time::Duration};

use breakwater_breaker::{Breaker, NotPermitted};
use tokio::time::timeout;

use crate::{
    clock::Clock,
    http::{Answer, Failure},
    log,
    metrics::Metrics,
};

/// An attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The breaker let it not through.
    NotPermitted(NotPermitted),
    /// It failed.
    Failed(Failure),
}

/// Makes attempts by `call`: [`Backend::get`](crate::http::Backend::get), or what a test puts there.
#[derive(Debug)]
pub struct Attempts<C> {
    /// The call without a time-out.
    pub call: C,
    /// The breaker that every attempt asks and tells.
    pub breaker: Arc<Breaker>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The clock.
    pub clock: Clock,
    /// Where attempts are counted.
    pub metrics: Arc<Metrics>,
}

impl<C, F> Attempts<C>
where
    C: Fn() -> F,
    F: Future<Output = Result<Answer, Failure>>,
{
    /// Makes one attempt. Dropped before it ends, it counts as neither success nor failure.
    ///
    /// # Errors
    /// [`NoAnswer`], after the breaker was told.
    pub async fn make(&self) -> Result<Answer, NoAnswer> {
        let started = self.clock.now();
        let ticket = self.breaker.try_acquire(started).map_err(|refused| {
            log::skipped(&refused);
            NoAnswer::NotPermitted(refused)
        })?;
        if ticket.is_trial() {
            log::trial();
        }
        let result = timeout(self.timeout, (self.call)()).await.unwrap_or(Err(Failure::Timeout));

        let now = self.clock.now();
        self.metrics.attempt(result.is_ok(), now.mono().saturating_sub(started.mono()));
        match result {
            Ok(answer) => {
                log::answered(&answer);
                log::transition(&self.breaker, ticket.success(now).as_ref());
                Ok(answer)
            }
            Err(failure) => {
                if let Some(failed) = ticket.failure(&failure.to_string(), now) {
                    log::failed(&failure, failed.consecutive_failures);
                    log::transition(&self.breaker, failed.transition.as_ref());
                }
                Err(NoAnswer::Failed(failure))
            }
        }
    }
}
