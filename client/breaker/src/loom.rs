//! The handle in every order of what two threads may do: `RUSTFLAGS="--cfg breaker_loom" cargo test -p breakwater-breaker --lib loom`.

use std::{num::NonZeroU16, time::Duration};

use loom::{model::Builder, sync::Arc, thread};
use uuid::Uuid;

use crate::{
    Breaker, HalfOpen, ManualClock, OpenTime, Policy, Rates, Settings, State, Window,
    wire::{BreakerReport, CallCounts},
};

/// Tries all orders with up to so many switches of threads that are not waiting for each other.
fn all_orders(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn breaker(settings: Settings) -> (Arc<Breaker>, ManualClock) {
    let clock = ManualClock::default();
    let breaker = Breaker::builder("backend").settings(settings).epoch(Uuid::nil()).clock(clock.clone()).build();
    (Arc::new(breaker), clock)
}

fn failures(threshold: u64) -> Settings {
    Settings::default()
        .with_policy(Policy::consecutive_failures(threshold))
        .with_open_time(OpenTime::fixed(Duration::from_secs(10)))
}

/// What must hold whenever no call is on its way through the breaker.
fn settled(breaker: &Breaker) -> BreakerReport {
    let report = breaker.report(None, crate::Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO)).unwrap();
    assert_eq!(breaker.state(), report.state, "the gate shows what the machine is");
    let CallCounts { permitted, success, failure, ignored, .. } = report.calls;
    assert_eq!(permitted, success + failure + ignored);
    let items = &report.transitions.items;
    assert!(items.windows(2).all(|pair| pair[1].from == Some(pair[0].to) && pair[1].seq == pair[0].seq + 1));
    assert_eq!(items.last().unwrap().to, report.state);
    report
}

#[test]
fn a_success_beside_a_failure() {
    all_orders(|| {
        let (breaker, _) = breaker(failures(2));
        let other = Arc::clone(&breaker);
        let failing = thread::spawn(move || {
            let first = other.try_acquire().unwrap().failure("x").unwrap();
            assert!(first.transition.is_none());
            other.try_acquire().unwrap().failure("x").is_some_and(|failed| failed.transition.is_some())
        });
        breaker.try_acquire().map(|permit| permit.success()).ok();
        let opened = failing.join().unwrap();
        let report = settled(&breaker);
        // The success came before both failures, between them, or after the breaker had opened.
        assert_eq!(report.state == State::Open, opened);
        assert_eq!(report.consecutive_failures, if opened { 2 } else { 1 });
    });
}

#[test]
fn a_success_that_is_known_to_come_after_a_failure_starts_the_count_anew() {
    all_orders(|| {
        let (breaker, _) = breaker(failures(2));
        let permit = breaker.try_acquire().unwrap();
        let other = Arc::clone(&breaker);
        thread::spawn(move || drop(other.try_acquire().unwrap().failure("x"))).join().unwrap();
        permit.success();
        assert_eq!(settled(&breaker).consecutive_failures, 0);
    });
}

#[test]
fn a_result_from_before_the_opening_counts_as_nothing() {
    all_orders(|| {
        let (breaker, _) = breaker(failures(1));
        let early = breaker.try_acquire().unwrap();
        let other = Arc::clone(&breaker);
        let opening = thread::spawn(move || drop(other.try_acquire().unwrap().failure("x")));
        early.success();
        opening.join().unwrap();
        let report = settled(&breaker);
        assert_eq!((report.state, report.calls.success + report.calls.ignored), (State::Open, 1));
    });
}

#[test]
fn half_open_lets_no_more_through_than_it_may() {
    all_orders(|| {
        let (breaker, clock) = breaker(failures(1));
        breaker.try_acquire().unwrap().failure("x");
        clock.advance(Duration::from_secs(10));
        let other = Arc::clone(&breaker);
        // Neither waits for a timer: who comes first makes it half-open.
        let trial = thread::spawn(move || other.try_acquire().map(|permit| std::mem::forget(permit)).is_ok());
        let ours = breaker.try_acquire().map(|permit| std::mem::forget(permit)).is_ok();
        assert!(trial.join().unwrap() ^ ours, "one of them is the trial");
        assert_eq!(breaker.state(), State::HalfOpen);
    });
}

#[test]
fn a_trial_that_is_given_back_leaves_room_for_another() {
    all_orders(|| {
        let two = HalfOpen { calls: NonZeroU16::new(2).unwrap(), wait: None };
        let (breaker, _) = breaker(failures(1).with_half_open(two));
        breaker.force(State::HalfOpen, "test");
        let other = Arc::clone(&breaker);
        let dropping = thread::spawn(move || drop(other.try_acquire().unwrap()));
        breaker.try_acquire().unwrap().success();
        dropping.join().unwrap();
        breaker.try_acquire().unwrap().success();
        assert_eq!(settled(&breaker).state, State::Closed);
    });
}

#[test]
fn the_door_loses_no_success_and_lets_none_through_too_late() {
    all_orders(|| {
        let rates = Rates { window: Window::calls(3), minimum_calls: 1.try_into().unwrap(), ..Rates::default() };
        let (breaker, _) = breaker(Settings::default().with_policy(Policy::Rates(rates)));
        breaker.try_acquire().unwrap().success();
        let early = breaker.try_acquire().unwrap();
        let other = Arc::clone(&breaker);
        let failing = thread::spawn(move || drop(other.try_acquire().map(|permit| permit.failure("x"))));
        early.success();
        failing.join().unwrap();
        let report = settled(&breaker);
        let window = report.window.unwrap();
        // One success and one failure are half, and open it; two successes and one failure are less.
        match report.state {
            State::Open => assert_eq!((window.calls, window.failures, report.calls.ignored), (2, 1, 1)),
            _ => assert_eq!((window.calls, window.failures, report.calls.ignored), (3, 1, 0)),
        }
    });
}

#[test]
fn the_door_is_shut_to_who_comes_from_an_earlier_stretch() {
    all_orders(|| {
        let rates = Rates { window: Window::calls(2), minimum_calls: 1.try_into().unwrap(), ..Rates::default() };
        let (breaker, _) = breaker(Settings::default().with_policy(Policy::Rates(rates)));
        breaker.try_acquire().unwrap().success();
        let early = breaker.try_acquire().unwrap();
        let other = Arc::clone(&breaker);
        let closing = thread::spawn(move || {
            other.force(State::Open, "test");
            other.force(State::Closed, "test");
            other.try_acquire().unwrap().success();
        });
        early.success();
        closing.join().unwrap();
        let report = settled(&breaker);
        assert_eq!(report.window.unwrap().calls, 1);
        // Before the opening it counts, after that it does not.
        assert_eq!((report.calls.success + report.calls.ignored, report.calls.failure), (3, 0));
    });
}

#[test]
fn a_refusal_names_the_opening_that_it_saw() {
    all_orders(|| {
        let (breaker, clock) = breaker(failures(1));
        breaker.try_acquire().unwrap().failure("x");
        clock.advance(Duration::from_secs(4));
        let other = Arc::clone(&breaker);
        let forcing = thread::spawn(move || {
            other.force(State::Closed, "test");
            other.force(State::Open, "test");
        });
        if let Err(refused) = breaker.try_acquire() {
            let waits = [6, 10].map(|seconds| Some(Duration::from_secs(seconds)));
            assert!(waits.contains(&refused.trial_in()), "{refused:?}");
            if refused.trial_in() == waits[1] {
                assert_eq!(breaker.state(), State::Open, "who is told of the later opening sees it, too");
            }
        }
        forcing.join().unwrap();
        assert_eq!(settled(&breaker).state, State::Open);
    });
}
