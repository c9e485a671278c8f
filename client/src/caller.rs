//! Ticks: every interval one call, with a deadline and the retries that fit into it.

use std::time::Duration;

use backon::Retryable;
use breakwater_breaker::State;
use tokio::time::{MissedTickBehavior, interval, timeout_at};
use tracing::Instrument;

use crate::{
    attempt::{Attempts, NoAnswer},
    fallback::{Fallback, Given},
    http::{Answer, Failure},
    log,
    metrics::Denied,
    retry::{Budget, FullJitter, fits},
    trace,
};

/// An attempt begins only if its own time-out fits into the deadline, and ends by that: cut by the deadline it would tell its breaker
/// nothing. Timers are exact to a millisecond, and a busy machine is late, so the deadline waits so much longer.
const TIMERS: Duration = Duration::from_millis(20);

/// How ticks call.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Time from one tick to the next; ticks that were missed are skipped.
    pub interval: Duration,
    /// How long the call of a tick may take, its retries included.
    pub deadline: Duration,
    /// Attempts of one tick at most; 1 or more.
    pub attempts: u32,
    /// Longest delay before the first retry; it doubles with each further one.
    pub retry_base: Duration,
    /// Longest delay before any retry, unless the backend asks for more.
    pub retry_cap: Duration,
}

/// How the call of a tick ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend answered.
    Answered(Answer),
    /// The last attempt failed.
    Failed(Failure),
    /// The breaker let no attempt through; what the call got in its stead.
    NotPermitted(Option<Given>),
    /// The deadline cut the last attempt.
    DeadlineExceeded,
}

impl Outcome {
    /// Its name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Answered(_) => "success",
            Self::Failed(_) => "failure",
            Self::NotPermitted(_) => "not_permitted",
            Self::DeadlineExceeded => "deadline_exceeded",
        }
    }
}

/// Calls the backend tick by tick.
#[derive(Debug)]
pub struct Caller<C, R> {
    /// Makes the attempts.
    pub attempts: Attempts<C>,
    /// How often and how long.
    pub plan: Plan,
    /// How many retries there may be.
    pub budget: Budget,
    /// What a call gets that the breaker refuses.
    pub fallback: Fallback,
    /// Draws evenly from 0 to 1, for the delays.
    pub random: R,
}

impl<C, F, R> Caller<C, R>
where
    C: Fn() -> F,
    F: Future<Output = Result<Answer, Failure>>,
    R: Fn() -> f64 + Send + Sync,
{
    /// Ticks for ever; dropped, it cuts the call in flight.
    pub async fn run(&self) {
        let mut ticks = interval(self.plan.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.tick().await;
        }
    }

    /// One call: attempts until one succeeds, is not permitted, or no further one is due or fits.
    pub async fn tick(&self) -> Outcome {
        let Self { attempts, plan, budget, fallback, random } = self;
        let mono = || attempts.clock.now().mono();
        let started = mono();
        let deadline = started.saturating_add(plan.deadline);
        let mut retrying_since = None;
        budget.deposit();

        let mut made = 0;
        let attempt = || {
            made += 1;
            attempts.make(made - 1)
        };
        let call = attempt
            .retry(FullJitter::new(plan.retry_base, plan.retry_cap, plan.attempts.saturating_sub(1), random))
            // A failure that opened the breaker is the last: it would not let the retry through.
            .when(|error| matches!(error, NoAnswer::Failed(_)) && attempts.breaker.state() == State::Closed)
            .adjust(|error, delay| {
                let delay = delay?.max(error.retry_after().unwrap_or_default());
                if !fits(delay, attempts.timeout, deadline.saturating_sub(mono())) {
                    attempts.metrics.retry_denied(Denied::Deadline);
                    None
                } else if !budget.withdraw() {
                    attempts.metrics.retry_denied(Denied::Budget);
                    None
                } else {
                    Some(delay)
                }
            })
            .notify(|_, _| {
                retrying_since.get_or_insert_with(mono);
                attempts.metrics.retry();
            });
        let span = trace::call(attempts.breaker.name());
        let outcome = match timeout_at(attempts.clock.instant(deadline.saturating_add(TIMERS)), call)
            .instrument(span.clone())
            .await
        {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(NoAnswer::Failed(failure))) => Outcome::Failed(failure),
            Ok(Err(NoAnswer::NotPermitted(_))) => Outcome::NotPermitted(fallback.give(mono())),
            Err(_) => {
                log::cut(attempts.breaker.name(), plan.deadline);
                Outcome::DeadlineExceeded
            }
        };

        trace::called(&span, outcome.as_str(), matches!(outcome, Outcome::Answered(_)));

        let ended = mono();
        match &outcome {
            Outcome::Answered(answer) => fallback.keep(answer, ended),
            Outcome::NotPermitted(Some(given)) => {
                log::fallback(attempts.breaker.name(), given);
                attempts.metrics.fallback(given.as_str());
            }
            Outcome::NotPermitted(None) | Outcome::Failed(_) | Outcome::DeadlineExceeded => {}
        }
        attempts.metrics.tick(outcome.as_str(), ended.saturating_sub(started));
        if let Some(since) = retrying_since {
            attempts.metrics.retried(ended.saturating_sub(since));
        }
        outcome
    }
}
