//! The tower layer: what it lets through, what it says instead, and calls that do not end.
#![cfg(feature = "tower")]

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use breakwater_breaker::{Breaker, BreakerLayer, Error, ManualClock, Outcome, State};
use futures::{FutureExt, executor::block_on, future::pending};
use tower::{Layer, Service, ServiceExt, service_fn};

/// What a call of the test does.
#[derive(Clone, Copy)]
enum Do {
    Answer(u16),
    Fail,
    Hang,
    Panic,
}

async fn obey(what: Do) -> Result<u16, &'static str> {
    match what {
        Do::Answer(status) => Ok(status),
        Do::Fail => Err("reset"),
        Do::Hang => pending().await,
        Do::Panic => panic!("on purpose"),
    }
}

fn half_open() -> (Arc<Breaker>, ManualClock) {
    let clock = ManualClock::default();
    let breaker = Arc::new(Breaker::builder("backend").clock(clock.clone()).build());
    breaker.force(State::HalfOpen, "test");
    (breaker, clock)
}

#[test]
fn open_is_told_apart_from_failed_and_says_how_long_to_wait() {
    let clock = ManualClock::default();
    let breaker = Arc::new(Breaker::builder("backend").clock(clock.clone()).build());
    let service = BreakerLayer::new(Arc::clone(&breaker)).layer(service_fn(obey));
    let call = |what| block_on(service.clone().oneshot(what));
    for _ in 0..3 {
        assert_eq!(call(Do::Fail), Err(Error::Failed("reset")));
    }
    clock.advance(Duration::from_secs(4));
    let refused = call(Do::Answer(200)).unwrap_err();
    assert_eq!(refused.not_permitted().unwrap().trial_in(), Some(Duration::from_secs(6)));
    assert_eq!(refused.to_string(), "the breaker is open; a trial call is due in 6.0s");
    clock.advance(Duration::from_secs(6));
    assert_eq!(call(Do::Answer(200)), Ok(200));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_classifier_sees_answers_errors_and_the_time() {
    let clock = ManualClock::default();
    let breaker = Arc::new(Breaker::builder("backend").clock(clock.clone()).build());
    let classify = |result: &Result<u16, &'static str>, took: Duration| match result {
        Ok(404) => Outcome::Ignored,
        Ok(500..) => Outcome::failure("server error"),
        Ok(_) if took > Duration::from_secs(1) => Outcome::failure("late"),
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Success,
    };
    let layer = BreakerLayer::new(Arc::clone(&breaker)).classify_by(classify);
    let slow = layer.layer(service_fn(|what| {
        clock.advance(Duration::from_secs(2));
        obey(what)
    }));
    let fast = layer.layer(service_fn(obey));
    for what in [Do::Answer(404), Do::Answer(503), Do::Answer(200), Do::Fail] {
        let _ = block_on(fast.clone().oneshot(what));
    }
    block_on(slow.oneshot(Do::Answer(200))).unwrap();
    let calls = breaker.calls();
    assert_eq!((calls.ignored, calls.failure, calls.success), (1, 2, 2));
}

#[test]
fn a_trial_that_is_dropped_or_panics_is_given_back() {
    let (breaker, _) = half_open();
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(service_fn(obey));

    let mut hanging = Box::pin(service.call(Do::Hang));
    assert!(hanging.as_mut().now_or_never().is_none());
    assert!(breaker.try_acquire().is_err(), "the trial is in flight");
    drop(hanging);
    drop(breaker.try_acquire().expect("its permit is back"));

    // Never polled.
    drop(service.call(Do::Answer(200)));
    drop(breaker.try_acquire().expect("its permit is back"));

    let panicked = AssertUnwindSafe(service.call(Do::Panic)).catch_unwind();
    assert!(block_on(panicked).is_err());
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(block_on(service.call(Do::Answer(200))), Ok(200));
    assert_eq!((breaker.state(), breaker.calls().ignored), (State::Closed, 5));
}

#[test]
fn calls_by_hand_are_given_back_too() {
    let (breaker, _) = half_open();
    assert!(
        std::panic::catch_unwind(AssertUnwindSafe(|| breaker.call(|| -> Result<(), &str> { panic!("on purpose") })))
            .is_err()
    );
    assert!(breaker.run(pending::<Result<(), &str>>()).now_or_never().is_none());
    assert_eq!(breaker.call(|| Ok::<_, &str>(1)), Ok(1));
    assert_eq!((breaker.state(), breaker.calls().ignored), (State::Closed, 2));
}

/// A service that is never ready.
#[derive(Clone)]
struct Broken;

impl Service<Do> for Broken {
    type Response = u16;
    type Error = &'static str;
    type Future = std::future::Ready<Result<u16, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("broken"))
    }

    fn call(&mut self, _: Do) -> Self::Future {
        unreachable!("it is not ready")
    }
}

#[test]
fn a_service_that_is_not_ready_has_made_no_call() {
    let (breaker, _) = half_open();
    let service = BreakerLayer::new(Arc::clone(&breaker)).layer(Broken);
    assert_eq!(block_on(service.oneshot(Do::Answer(200))), Err(Error::Failed("broken")));
    assert_eq!((breaker.state(), breaker.calls().permitted), (State::HalfOpen, 0));
}
