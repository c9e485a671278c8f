//! The breaker against a naive model that derives everything from lists of what happened, and under threads.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::{Arc, Mutex},
    time::Duration,
};

use breakwater_breaker::{Breaker, Cursor, Now, Settings, State, Ticket};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

fn at(millis: u64) -> Now {
    Now::new(Timestamp::UNIX_EPOCH, Duration::from_millis(millis))
}

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Succeed(prop::sample::Index),
    Fail(prop::sample::Index),
    Drop(prop::sample::Index),
    Tick,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let any_ticket = any::<prop::sample::Index>;
    prop_oneof![
        5 => Just(Op::Acquire),
        1 => any_ticket().prop_map(Op::Succeed),
        3 => any_ticket().prop_map(Op::Fail),
        1 => any_ticket().prop_map(Op::Drop),
        2 => Just(Op::Tick),
        2 => (0..60u64).prop_map(Op::Wait),
    ]
}

/// Nothing but lists: states with the time they began, results that counted, calls in flight.
struct Model {
    threshold: usize,
    open_for: u64,
    states: Vec<(State, u64)>,
    counted: Vec<bool>,
    /// Of each call in flight, how many states there had been when it was let through.
    in_flight: Vec<usize>,
    permitted: u64,
    refused: u64,
    ignored: u64,
}

impl Model {
    fn state(&self) -> State {
        self.states.last().unwrap().0
    }

    fn failures_in_a_row(&self) -> usize {
        self.counted.iter().rev().take_while(|success| !**success).count()
    }

    fn acquire(&mut self) -> bool {
        let trial_in_flight = self.in_flight.contains(&self.states.len());
        let permitted = match self.state() {
            State::Closed => true,
            State::Open => false,
            State::HalfOpen => !trial_in_flight,
        };
        if permitted {
            self.permitted += 1;
            self.in_flight.push(self.states.len());
        } else {
            self.refused += 1;
        }
        permitted
    }

    fn finish(&mut self, call: usize, success: Option<bool>, now: u64) {
        let current = self.in_flight.remove(call) == self.states.len();
        let Some(success) = success.filter(|_| current) else {
            self.ignored += 1;
            return;
        };
        self.counted.push(success);
        match (self.state(), success) {
            (State::HalfOpen, true) => self.states.push((State::Closed, now)),
            (State::HalfOpen, false) => self.states.push((State::Open, now)),
            (_, false) if self.failures_in_a_row() >= self.threshold => self.states.push((State::Open, now)),
            _ => {}
        }
    }

    fn tick(&mut self, now: u64) {
        if self.states.last().is_some_and(|(state, since)| *state == State::Open && now >= since + self.open_for) {
            self.states.push((State::HalfOpen, now));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn the_breaker_does_what_the_model_does(
        threshold in 1..5u64, open_for in 0..100u64, capacity in 1..8usize, ops in prop::collection::vec(op(), 1..120),
    ) {
        let settings = Settings {
            failure_threshold: NonZeroU64::new(threshold).unwrap(),
            open_for: Duration::from_millis(open_for),
            capacity: NonZeroUsize::new(capacity).unwrap(),
            ..Settings::default()
        };
        let breaker = Breaker::new("backend", Uuid::nil(), settings, at(0));
        let mut tickets: Vec<Ticket<'_>> = Vec::new();
        let mut model = Model {
            threshold: threshold as usize, open_for, states: vec![(State::Closed, 0)], counted: vec![], in_flight: vec![],
            permitted: 0, refused: 0, ignored: 0,
        };
        let (mut now, mut cursor, mut read) = (0, Cursor { epoch: Uuid::nil(), seq: 0 }, Vec::new());

        for op in ops {
            match op {
                Op::Wait(millis) => now += millis,
                Op::Tick => {
                    breaker.tick(at(now));
                    model.tick(now);
                }
                Op::Acquire => {
                    let ticket = breaker.try_acquire(at(now));
                    prop_assert_eq!(ticket.is_ok(), model.acquire());
                    tickets.extend(ticket);
                }
                Op::Succeed(index) if !tickets.is_empty() => {
                    let index = index.index(tickets.len());
                    tickets.remove(index).success(at(now));
                    model.finish(index, Some(true), now);
                }
                Op::Fail(index) if !tickets.is_empty() => {
                    let index = index.index(tickets.len());
                    tickets.remove(index).failure("x", at(now));
                    model.finish(index, Some(false), now);
                }
                Op::Drop(index) if !tickets.is_empty() => {
                    let index = index.index(tickets.len());
                    drop(tickets.remove(index));
                    model.finish(index, None, now);
                }
                Op::Succeed(_) | Op::Fail(_) | Op::Drop(_) => {}
            }

            let report = breaker.report(Some(cursor), at(now)).unwrap();
            prop_assert_eq!(report.state, model.state());
            prop_assert_eq!(report.consecutive_failures, model.failures_in_a_row() as u64);
            prop_assert_eq!(report.first_failure_at.is_some(), model.failures_in_a_row() > 0);
            let successes = model.counted.iter().filter(|success| **success).count() as u64;
            let calls = report.calls;
            prop_assert_eq!(calls.success, successes);
            prop_assert_eq!(calls.failure, model.counted.len() as u64 - successes);
            prop_assert_eq!((calls.permitted, calls.not_permitted), (model.permitted, model.refused));
            prop_assert_eq!(calls.ignored, model.ignored);
            prop_assert_eq!(calls.permitted, calls.success + calls.failure + calls.ignored + tickets.len() as u64);

            // A reader that keeps up reads every transition once, however short the ring.
            prop_assert_eq!(report.transitions.gap, None);
            read.extend(report.transitions.items.iter().map(|item| (item.seq, item.to, item.mono_nanos / 1_000_000)));
            cursor = report.transitions.next;
        }
        let expected: Vec<_> = (1..).zip(&model.states).map(|(seq, (state, since))| (seq, *state, *since)).collect();
        prop_assert_eq!(read, expected);
    }
}

/// Threads that call, fail, cancel and tick at once lose no call and no transition, and break no rule.
#[test]
fn threads_lose_nothing() {
    let settings = Settings { open_for: Duration::ZERO, ..Settings::default() };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let breaker = Breaker::new("backend", Uuid::nil(), settings, at(0)).with_listener({
        let heard = Arc::clone(&heard);
        move |transition| heard.lock().unwrap().push((transition.seq, transition.from, transition.to))
    });
    let breaker = &breaker;
    std::thread::scope(|scope| {
        for caller in 0..4u64 {
            scope.spawn(move || {
                for call in 0..20_000u64 {
                    let Ok(ticket) = breaker.try_acquire(at(call)) else {
                        breaker.tick(Now { mono_nanos: u64::MAX, ..at(0) });
                        continue;
                    };
                    match (call * 7 + caller) % 11 {
                        0..7 => drop(ticket.failure("x", at(call))),
                        7 => drop(ticket),
                        _ => drop(ticket.success(at(call))),
                    }
                }
            });
        }
    });

    let report = breaker.report(None, at(0)).unwrap();
    let calls = report.calls;
    assert_eq!(calls.permitted + calls.not_permitted, 80_000);
    assert_eq!(calls.permitted, calls.success + calls.failure + calls.ignored);
    let mut heard = heard.lock().unwrap().clone();
    heard.sort_by_key(|(seq, ..)| *seq);
    assert!(heard.len() > 100, "the breaker moved: {heard:?}");
    assert_eq!(heard.len() as u64, report.transitions.last_seq);
    for (expected, pair) in (1..).zip(heard.windows(2)) {
        assert_eq!((pair[0].0, pair[1].0), (expected, expected + 1));
        assert_eq!(pair[1].1, Some(pair[0].2), "each transition begins where the last one ended");
    }
}
