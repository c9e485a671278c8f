//! One attempt: the breaker lets it through or not, a time-out bounds it, and the breaker is told how it went.

use std::{fmt, sync::Arc, time::Duration};

use breakwater_breaker::{Breaker, NotPermitted, Transition};
use tokio::time::timeout;
use tracing::{Instrument, Span};

use crate::{
    clock::Clock,
    http::{Answer, Failure},
    log,
    metrics::TargetMetrics,
    trace,
};

/// An attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The breaker let it not through.
    NotPermitted(NotPermitted),
    /// It failed.
    Failed(Failure),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted(_) => f.write_str("not permitted"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl NoAnswer {
    /// How long the backend wants to be left alone, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotPermitted(_) => None,
            Self::Failed(failure) => failure.retry_after(),
        }
    }
}

/// Makes attempts by `call`: [`Backend::call`](crate::http::Backend::call), or what a test puts there.
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
    pub metrics: TargetMetrics,
}

impl<C, F> Attempts<C>
where
    C: Fn() -> F,
    F: Future<Output = Result<Answer, Failure>>,
{
    /// Makes one attempt, the `number`th of its call, beginning at 0. Dropped before it ends, it counts as neither
    /// success nor failure.
    ///
    /// # Errors
    /// [`NoAnswer`], after the breaker was told.
    pub async fn make(&self, number: u32) -> Result<Answer, NoAnswer> {
        let span = trace::attempt(number);
        let result = self.ask_breaker(&span).instrument(span.clone()).await;
        trace::attempted(&span, result.as_ref().err().map(|error| error as _), self.breaker.state().as_str());
        result
    }

    async fn ask_breaker(&self, span: &Span) -> Result<Answer, NoAnswer> {
        let name = self.breaker.name();
        let started = self.clock.now();
        let permit = self.breaker.try_acquire().map_err(|refused| {
            trace::decided(span, "refused");
            log::skipped(name, &refused);
            NoAnswer::NotPermitted(refused)
        })?;
        trace::decided(span, if permit.is_trial() { "trial" } else { "permitted" });
        if permit.is_trial() {
            log::trial(name);
        }
        let result = timeout(self.timeout, (self.call)()).await.unwrap_or(Err(Failure::Timeout));

        let now = self.clock.now();
        self.metrics.attempt(result.is_ok(), now.mono().saturating_sub(started.mono()));
        match result {
            Ok(answer) => {
                log::answered(name, &answer);
                self.log(permit.success().as_ref());
                Ok(answer)
            }
            Err(failure) => {
                if let Some(failed) = permit.failure(&failure.to_string()) {
                    log::failed(name, &failure, failed.consecutive_failures);
                    self.log(failed.transition.as_ref());
                }
                Err(NoAnswer::Failed(failure))
            }
        }
    }

    fn log(&self, made: Option<&Transition>) {
        made.iter().for_each(|transition| log::transition(self.breaker.epoch(), self.breaker.name(), transition));
    }
}
