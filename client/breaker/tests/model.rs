//! The breaker against a naive reference that derives everything from lists of what happened.

mod cases;
mod reference;

use std::{num::NonZeroUsize, time::Duration};

use breakwater_breaker::{
    Breaker, Cursor, HalfOpen, ManualClock, Now, OpenTime, Percent, Permit, Policy, Rates, Settings, SlowCalls, State,
    Window,
};
use cases::cases;
use jiff::Timestamp;
use proptest::{prelude::*, sample::Index};
use reference::Reference;
use uuid::Uuid;

fn at(millis: u64) -> Now {
    Now::new(Timestamp::UNIX_EPOCH, Duration::from_millis(millis))
}

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Succeed(Index),
    Fail(Index),
    Drop(Index),
    Tick,
    Wait(u64),
    Force(State),
}

fn op() -> impl Strategy<Value = Op> {
    let call = any::<Index>;
    prop_oneof![
        10 => Just(Op::Acquire),
        4 => call().prop_map(Op::Succeed),
        6 => call().prop_map(Op::Fail),
        2 => call().prop_map(Op::Drop),
        3 => Just(Op::Tick),
        4 => (0..60u64).prop_map(Op::Wait),
        1 => prop::sample::select(&State::ALL[..]).prop_map(Op::Force),
    ]
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn percent() -> impl Strategy<Value = Percent> {
    (1..=100u8).prop_map(|percent| Percent::new(percent).unwrap())
}

fn policy() -> impl Strategy<Value = Policy> {
    let window = prop_oneof![(1..12u16).prop_map(Window::calls), millis(0..200).prop_map(Window::time)];
    let slow_calls =
        prop::option::of((millis(0..40), percent()).prop_map(|(longer_than, rate)| SlowCalls { longer_than, rate }));
    prop_oneof![
        (1..5u64).prop_map(Policy::consecutive_failures),
        (window, 1..9u64, percent(), slow_calls).prop_map(|(window, minimum, failure_rate, slow_calls)| {
            let minimum_calls = minimum.try_into().unwrap();
            Policy::Rates(Rates { window, minimum_calls, failure_rate, slow_calls })
        }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let half_open = (1..5u16, prop::option::of(millis(0..80)))
        .prop_map(|(calls, wait)| HalfOpen { calls: calls.try_into().unwrap(), wait });
    (policy(), millis(0..100), millis(0..400), half_open, 1..8usize).prop_map(
        |(policy, first, longest, half_open, capacity)| {
            Settings::default()
                .with_policy(policy)
                .with_open_time(OpenTime::growing(first, longest))
                .with_half_open(half_open)
                .with_capacity(NonZeroUsize::new(capacity).unwrap())
        },
    )
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 10 } else { 500 }))]

    #[test]
    fn the_breaker_does_what_the_reference_does(settings in settings(), ops in prop::collection::vec(op(), 1..150)) {
        let clock = ManualClock::new(at(0));
        let breaker = Breaker::builder("backend").settings(settings).epoch(Uuid::nil()).clock(clock.clone()).build();
        let mut permits: Vec<Permit<&Breaker>> = Vec::new();
        let mut reference = Reference::new(settings);
        let (mut now, mut cursor, mut read) = (0, Cursor { epoch: Uuid::nil(), seq: 1 }, vec![(1, State::Closed, 0, false)]);

        for op in ops {
            let state = reference.states.len();
            match op {
                Op::Wait(millis) => {
                    now += millis;
                    clock.set(at(now));
                }
                Op::Tick => {
                    breaker.tick();
                    reference.elapse(now);
                }
                Op::Force(state) => {
                    breaker.force(state, "test");
                    reference.force(state, now);
                }
                Op::Acquire => {
                    let permit = breaker.try_acquire();
                    prop_assert_eq!(permit.is_ok(), reference.acquire(now));
                    permits.extend(permit);
                }
                Op::Succeed(call) if !permits.is_empty() => {
                    let call = call.index(permits.len());
                    permits.remove(call).success();
                    reference.finish(call, Some(false), now);
                }
                Op::Fail(call) if !permits.is_empty() => {
                    let call = call.index(permits.len());
                    permits.remove(call).failure("x");
                    reference.finish(call, Some(true), now);
                }
                Op::Drop(call) if !permits.is_empty() => {
                    let call = call.index(permits.len());
                    drop(permits.remove(call));
                    reference.finish(call, None, now);
                }
                Op::Succeed(_) | Op::Fail(_) | Op::Drop(_) => {}
            }
            prop_assert!(reference.states.len() <= state + 1, "one input makes at most one transition");

            prop_assert_eq!(breaker.state(), reference.state());
            let report = breaker.report(Some(cursor), at(now)).unwrap();
            prop_assert_eq!(report.state, reference.state());
            prop_assert_eq!(report.consecutive_failures, reference.failures_in_a_row() as u64);
            prop_assert_eq!(report.first_failure_at.is_some(), reference.failures_in_a_row() > 0);
            if report.state == State::Closed {
                prop_assert_eq!(report.window, reference.window_counts(now));
            }
            let counted = |wanted: fn(&reference::Counted) -> bool| {
                reference.counted.iter().filter(|call| wanted(call)).count() as u64
            };
            let calls = report.calls;
            prop_assert_eq!((calls.success, calls.failure), (counted(|call| !call.failed), counted(|call| call.failed)));
            prop_assert_eq!(calls.slow, counted(|call| call.slow));
            prop_assert_eq!((calls.permitted, calls.not_permitted), (reference.permitted, reference.refused));
            prop_assert_eq!(calls.ignored, reference.ignored);
            prop_assert_eq!(calls.permitted, calls.success + calls.failure + calls.ignored + permits.len() as u64);

            // A reader that keeps up reads every transition once, however short the ring.
            prop_assert_eq!(report.transitions.gap, None);
            read.extend(report.transitions.items.iter().map(|item| {
                (item.seq, item.to, item.mono_nanos / 1_000_000, item.cause.kind() == "Forced")
            }));
            cursor = report.transitions.next;
        }
        let expected: Vec<_> = (1..).zip(&reference.states).map(|(seq, (to, at, forced))| (seq, *to, *at, *forced)).collect();
        prop_assert_eq!(read, expected);
    }
}
