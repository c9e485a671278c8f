//! Failsafe's consecutive policy as an oracle: on traces of one call after the other both do the same.

mod cases;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use breakwater_breaker::{Breaker, ManualClock, OpenTime, Policy, Settings, State};
use cases::cases;
use failsafe::{CircuitBreaker, Config, Instrument, failure_policy};
use proptest::prelude::*;

/// Failsafe tells its state by this alone.
#[derive(Clone)]
struct Told(Arc<Mutex<State>>);

impl Instrument for Told {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        *self.0.lock().unwrap() = State::Open;
    }

    fn on_half_open(&self) {
        *self.0.lock().unwrap() = State::HalfOpen;
    }

    fn on_closed(&self) {
        *self.0.lock().unwrap() = State::Closed;
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Failsafe reads the system's clock, and is half-open only after the time that it was to be open until.
#[allow(clippy::disallowed_methods, reason = "the oracle reads the clock")]
fn let_the_clock_move() {
    let start = Instant::now();
    while Instant::now() == start {}
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    #[cfg_attr(miri, ignore = "the oracle is not ours, and waits for the clock")]
    fn the_breaker_does_what_failsafe_does(
        threshold in 1..5u32,
        stays_open in prop::collection::vec(prop::bool::weighted(0.1), 1..20),
        calls in prop::collection::vec(prop::bool::weighted(0.4), 1..100),
    ) {
        // An opening is over at once, or never within the test.
        let open_times = stays_open.iter().map(|stays| if *stays { HOUR } else { Duration::ZERO });
        let told = Told(Arc::new(Mutex::new(State::Closed)));
        let oracle = Config::new()
            .failure_policy(failure_policy::consecutive_failures(threshold, open_times.clone().cycle()))
            .instrument(told.clone())
            .build();
        let clock = ManualClock::default();
        let settings = Settings::default()
            .with_policy(Policy::consecutive_failures(threshold.into()))
            .with_open_time(OpenTime::fixed(HOUR));
        let breaker = Breaker::builder("backend").settings(settings).clock(clock.clone()).build();
        let mut next_open_times = open_times.clone().cycle();

        for good in calls {
            let_the_clock_move();
            let call = || if good { Ok(()) } else { Err("no") };
            let permitted = !matches!(oracle.call(call), Err(failsafe::Error::Rejected));
            let before = breaker.report(None, breakwater_breaker::Clock::now(&clock)).unwrap().transitions.next;
            let ours = breaker.call(call);
            prop_assert_eq!(ours.is_err_and(|error| error.not_permitted().is_some()), !permitted);
            prop_assert_eq!(breaker.state(), *told.0.lock().unwrap());

            let report = breaker.report(Some(before), breakwater_breaker::Clock::now(&clock)).unwrap();
            for transition in &report.transitions.items {
                match transition.to {
                    // Failsafe begins its open times anew whenever it closes.
                    State::Closed => next_open_times = open_times.clone().cycle(),
                    State::Open if next_open_times.next() == Some(Duration::ZERO) => clock.advance(HOUR),
                    _ => {}
                }
            }
        }
    }
}
