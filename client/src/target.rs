//! One target: its breaker, its calls tick by tick, and the timer that makes it half-open.

use std::{io, sync::Arc};

use breakwater_breaker::Breaker;
use tokio::{sync::watch, time::timeout_at};
use uuid::Uuid;

use crate::{attempt::Attempts, caller::Caller, clock::Clock, http::Backend, log, metrics::TargetMetrics, settings};

/// A breaker, and what is known of its record.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The breaker.
    pub breaker: Arc<Breaker>,
    /// Number of its newest transition, as its listener tells it.
    pub newest: watch::Receiver<u64>,
}

/// A target that can be run.
#[derive(Debug)]
pub struct Target {
    /// Its breaker.
    pub followed: Followed,
    settings: settings::Target,
    backend: Backend,
    clock: Clock,
    metrics: TargetMetrics,
}

impl Followed {
    /// Makes the breaker of a target, and tells its start.
    pub fn new(target: &settings::Target, epoch: Uuid, metrics: TargetMetrics, clock: Clock) -> Self {
        let (sender, newest) = watch::channel(0);
        let name = target.name.clone();
        let breaker = Breaker::builder(&name).settings(target.settings.breaker.settings()).epoch(epoch).clock(clock);
        let breaker = breaker.listener(move |transition| {
            // What the result of an attempt makes is logged after that result.
            if !transition.cause.is_of_result() {
                log::transition(epoch, &name, transition);
            }
            metrics.transition(transition);
            sender.send_modify(|newest| *newest = (*newest).max(transition.seq));
        });
        Self { breaker: Arc::new(breaker.build()), newest }
    }
}

impl Target {
    /// Makes a target as it is set.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub fn new(settings: settings::Target, epoch: Uuid, clock: Clock, metrics: TargetMetrics) -> io::Result<Self> {
        let settings::TargetSettings { method, attempt_timeout, keep_alive, .. } = &settings.settings;
        let backend = Backend::new(method.clone(), settings.url.clone(), *attempt_timeout, *keep_alive);
        let followed = Followed::new(&settings, epoch, metrics.clone(), clock);
        Ok(Self { followed, backend: backend.map_err(io::Error::other)?, settings, clock, metrics })
    }

    /// Calls it tick by tick, for ever; dropped, it cuts the call in flight.
    pub async fn run(&self) {
        let Followed { breaker, newest } = self.followed.clone();
        let settings = &self.settings.settings;
        let attempts = Attempts {
            call: || self.backend.call(),
            breaker: Arc::clone(&breaker),
            timeout: settings.attempt_timeout,
            clock: self.clock,
            metrics: self.metrics.clone(),
        };
        let caller = Caller {
            attempts,
            plan: settings.plan(),
            budget: settings.budget(),
            fallback: settings.fallback(),
            random: fastrand::f64,
        };
        tokio::join!(caller.run(), half_open_in_time(&breaker, self.clock, newest));
    }
}

/// Makes the breaker half-open when its open time is over, without any call. Its listener tells of it.
pub async fn half_open_in_time(breaker: &Breaker, clock: Clock, mut newest: watch::Receiver<u64>) {
    loop {
        newest.mark_unchanged();
        if let Some(due) = breaker.tick_at() {
            // Woken early by another transition, it looks again.
            let _ = timeout_at(clock.instant(due), newest.changed()).await;
            breaker.tick();
        } else if newest.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use breakwater_breaker::State;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn open_turns_half_open_at_its_time_with_no_call() {
        let clock = Clock::start();
        let (sender, newest) = watch::channel(0);
        let breaker = Breaker::builder("backend")
            .clock(clock)
            .listener(move |transition| sender.send_modify(|newest| *newest = transition.seq))
            .build();
        let mut told = newest.clone();
        let outage = async {
            // The timer waits already when the breaker opens, and again when it re-opens.
            for opened in [2, 4] {
                let opened_at = clock.now();
                while breaker.state() != State::Open {
                    breaker.try_acquire().unwrap().failure("timeout");
                }
                told.wait_for(|seq| *seq == opened + 1).await.unwrap();
                assert_eq!(breaker.state(), State::HalfOpen);
                let waited = clock.now().mono() - opened_at.mono();
                assert!((10_000..=10_002).contains(&waited.as_millis()), "{waited:?}");
            }
        };
        tokio::select! {
            biased;
            () = half_open_in_time(&breaker, clock, newest) => panic!("the timer runs as long as the breaker"),
            ended = tokio::time::timeout(Duration::from_secs(60), outage) => ended.expect("half-open in time"),
        }
        let calls = breaker.calls();
        assert_eq!((calls.permitted, calls.not_permitted), (4, 0), "no call but those that failed");
    }
}
