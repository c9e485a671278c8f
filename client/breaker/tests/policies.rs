//! What users of resilience4j, Polly, gobreaker and Envoy ask of a breaker, one story each.

use std::{
    num::NonZeroU16,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use breakwater_breaker::{
    Breaker, Cause, Clock, HalfOpen, ManualClock, OpenTime, Percent, Policy, Rates, Settings, SlowCalls, State,
    Transition, Unit, Window,
    machine::{Generation, Input, Machine, Moment, Verdict},
};

const SECOND: Duration = Duration::from_secs(1);

fn breaker(settings: Settings) -> (Breaker, ManualClock) {
    let clock = ManualClock::default();
    (Breaker::builder("backend").settings(settings).clock(clock.clone()).build(), clock)
}

fn rates(rates: Rates) -> Settings {
    Settings::default().with_policy(Policy::Rates(rates))
}

fn percent(percent: u8) -> Percent {
    Percent::new(percent).unwrap()
}

/// Calls one after the other: `.` succeeds, `x` fails, `-` is given back. The cause of the last transition.
fn calls(breaker: &Breaker, calls: &str) -> Option<Cause> {
    for call in calls.chars() {
        let permit = breaker.try_acquire().unwrap_or_else(|refused| panic!("{call} of {calls}: {refused}"));
        match call {
            '.' => drop(permit.success()),
            'x' => drop(permit.failure("reset")),
            _ => drop(permit),
        }
    }
    last(breaker)
}

fn last(breaker: &Breaker) -> Option<Cause> {
    let now = breakwater_breaker::SystemClock::start().now();
    breaker.report(None, now).unwrap().transitions.items.pop().map(|last| last.cause)
}

#[test]
fn a_rate_is_judged_from_the_minimum_of_calls_on_over_a_window_that_slides() {
    let settings = rates(Rates { window: Window::calls(5), minimum_calls: 4.try_into().unwrap(), ..Rates::default() });
    for (trace, opened) in [
        ("xxx", None),
        ("xxxx", Some((4, 4, true))),
        // Enough calls: even a success may be the one that makes them enough.
        ("xxx.", Some((4, 3, false))),
        ("..xx", Some((4, 2, true))),
        // 2 of 5 are less than half; then the first failure has left the window, and 3 of 5 are more.
        ("x..x", Some((4, 2, true))),
        ("x...x", None),
        ("x...xxx", Some((5, 3, true))),
        ("x.x", None),
        ("...x.x.x", Some((5, 3, true))),
        ("...x..x..x..x", None),
        // Calls without a result are not in it.
        ("x-----xx-", None),
    ] {
        let (breaker, _) = breaker(settings);
        let expected = opened.map_or(Cause::Started, |(calls, failures, failed)| {
            let last_error = failed.then(|| "reset".into());
            Cause::FailureRate { calls, failures, unit: Unit::Attempt, last_error }
        });
        assert_eq!(calls(&breaker, trace), Some(expected), "{trace}");
    }
}

#[test]
fn a_minimum_beyond_the_window_is_the_window() {
    let settings = rates(Rates { window: Window::calls(2), ..Rates::default() });
    let (breaker, _) = breaker(settings);
    calls(&breaker, ".x");
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_window_of_time_forgets_slice_by_slice() {
    let settings =
        rates(Rates { window: Window::time(10 * SECOND), minimum_calls: 3.try_into().unwrap(), ..Rates::default() });
    let (breaker, clock) = breaker(settings);
    calls(&breaker, "x");
    clock.advance(9 * SECOND);
    calls(&breaker, "..");
    let window = |breaker: &Breaker| breaker.report(None, clock.now()).unwrap().window.unwrap();
    assert_eq!((window(&breaker).calls, window(&breaker).failures), (3, 1));
    clock.advance(SECOND);
    assert_eq!((window(&breaker).calls, window(&breaker).failures), (2, 0), "the failure is ten seconds old");
    clock.advance(3600 * SECOND);
    assert_eq!(window(&breaker).calls, 0);
    calls(&breaker, "xx");
    assert_eq!(breaker.state(), State::Closed, "two calls are not enough");
    calls(&breaker, "x");
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn slow_calls_open_it_even_if_they_succeed() {
    let slow_calls = Some(SlowCalls { longer_than: SECOND, rate: percent(50) });
    let settings =
        rates(Rates { window: Window::calls(4), minimum_calls: 4.try_into().unwrap(), slow_calls, ..Rates::default() });
    let (breaker, clock) = breaker(settings);
    for millis in [1000, 0, 1001, 1001] {
        let permit = breaker.try_acquire().unwrap();
        clock.advance(Duration::from_millis(millis));
        permit.success();
    }
    assert_eq!(last(&breaker), Some(Cause::SlowCallRate { calls: 4, slow: 2, unit: Unit::Attempt }));
    assert_eq!(breaker.calls().slow, 2, "exactly as long is not longer");

    clock.advance(10 * SECOND);
    let trial = breaker.try_acquire().unwrap();
    clock.advance(2 * SECOND);
    trial.success();
    assert_eq!((breaker.state(), last(&breaker)), (State::Open, Some(Cause::TrialSlow)));
}

#[test]
fn half_open_is_judged_by_the_same_rate_as_soon_as_it_is_certain() {
    let half_open = HalfOpen { calls: NonZeroU16::new(4).unwrap(), wait: None };
    for (trace, state) in [
        ("x", State::HalfOpen),
        ("xx", State::Open),
        ("x..", State::HalfOpen),
        ("x...", State::Closed),
        ("..", State::HalfOpen),
        ("...", State::Closed),
        ("x--..x", State::Open),
    ] {
        let (breaker, _) = breaker(rates(Rates::default()).with_half_open(half_open));
        breaker.force(State::HalfOpen, "test");
        calls(&breaker, trace);
        assert_eq!(breaker.state(), state, "{trace}");
    }
    let (breaker, _) = breaker(Settings::default().with_half_open(half_open));
    breaker.force(State::HalfOpen, "test");
    let flying: Vec<_> = (0..4).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.try_acquire().unwrap_err().state(), State::HalfOpen, "four, and no more");
    flying.into_iter().for_each(|trial| drop(trial.success()));
    assert_eq!(breaker.state(), State::Closed, "in a row, all must succeed");
}

#[test]
fn half_open_does_not_wait_for_ever() {
    let wait = Some(5 * SECOND);
    let (breaker, clock) = breaker(Settings::default().with_half_open(HalfOpen { wait, ..HalfOpen::default() }));
    breaker.force(State::HalfOpen, "test");
    assert_eq!(breaker.tick_at(), None, "without a trial nothing is waited for");
    clock.advance(3600 * SECOND);
    assert_eq!(breaker.tick(), None);

    let stuck = breaker.try_acquire().unwrap();
    assert_eq!(breaker.tick_at(), Some(3605 * SECOND));
    clock.advance(5 * SECOND);
    assert_eq!(breaker.tick().unwrap().cause, Cause::TrialOverdue);
    assert_eq!(stuck.success(), None, "its result comes too late");
    assert_eq!(breaker.state(), State::Open);

    // Without a timer, the next call finds out.
    clock.advance(10 * SECOND);
    let _stuck = breaker.try_acquire().unwrap();
    clock.advance(5 * SECOND);
    assert_eq!(breaker.try_acquire().unwrap_err().trial_in(), Some(10 * SECOND));

    // Or its own result does, which did not make that transition.
    clock.advance(10 * SECOND);
    let stuck = breaker.try_acquire().unwrap();
    clock.advance(5 * SECOND);
    assert_eq!((stuck.success(), breaker.state()), (None, State::Open));
}

#[test]
fn open_times_grow_with_each_failed_trial_and_begin_anew_when_it_closes() {
    let open_time = OpenTime::growing(SECOND, 5 * SECOND);
    let (breaker, clock) = breaker(Settings::default().with_open_time(open_time));
    calls(&breaker, "xxx");
    for seconds in [1, 2, 4, 5, 5] {
        assert_eq!(breaker.try_acquire().unwrap_err().trial_in(), Some(seconds * SECOND));
        clock.advance(seconds * SECOND);
        calls(&breaker, "x");
    }
    clock.advance(5 * SECOND);
    calls(&breaker, ".xxx");
    assert_eq!(breaker.try_acquire().unwrap_err().trial_in(), Some(SECOND));
}

#[test]
fn jitter_differs_from_process_to_process_and_from_breaker_to_breaker() {
    let open_time = OpenTime::fixed(100 * SECOND).with_jitter(percent(50));
    let wait = |name: &str, epoch: u128| {
        let settings = Settings::default().with_open_time(open_time);
        let breaker = Breaker::builder(name).settings(settings).epoch(uuid::Uuid::from_u128(epoch)).build();
        breaker.force(State::Open, "test");
        breaker.half_open_at().unwrap()
    };
    let mut waits: Vec<_> = (0..50).flat_map(|epoch| [wait("one", epoch), wait("two", epoch)]).collect();
    waits.sort();
    assert!(waits[0] >= 50 * SECOND && waits[99] < 101 * SECOND, "{waits:?}");
    assert!(waits[10] < 60 * SECOND && waits[90] > 90 * SECOND, "all over the range: {waits:?}");
    waits.dedup_by(|one, other| one.abs_diff(*other) < Duration::from_millis(1));
    assert!(waits.len() > 95);
}

#[test]
fn forced_states_hold_and_are_marked_as_forced() {
    let (breaker, clock) = breaker(Settings::default());
    breaker.force(State::ForcedOpen, "maintenance");
    clock.advance(3600 * SECOND);
    assert_eq!(breaker.tick(), None);
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!((refused.state(), refused.trial_in()), (State::ForcedOpen, None));

    assert_eq!(breaker.force(State::ForcedOpen, "again"), None);
    let disabled = breaker.force(State::Disabled, "let it burn").unwrap();
    assert_eq!((disabled.from, disabled.cause.kind()), (Some(State::ForcedOpen), "Forced"));
    calls(&breaker, "xxxxxxxxxx.");
    assert_eq!((breaker.state(), breaker.consecutive_failures(), breaker.calls().failure), (State::Disabled, 0, 10));

    breaker.force(State::Closed, "over");
    calls(&breaker, "xx");
    assert_eq!(breaker.state(), State::Closed, "what happened while it was disabled is not counted");
    breaker.force(State::Open, "test");
    clock.advance(10 * SECOND);
    calls(&breaker, ".");
    assert_eq!(breaker.state(), State::Closed, "a forced opening ends as any other");
}

#[test]
fn resilience4j_defaults() {
    let (breaker, _) = breaker(Settings::resilience4j());
    calls(&breaker, &".x".repeat(49));
    calls(&breaker, ".");
    assert_eq!(breaker.state(), State::Closed, "99 calls are fewer than 100");
    assert_eq!(calls(&breaker, "x").unwrap().to_string(), "50 of 100 calls failed (reset)");
    assert_eq!(breaker.try_acquire().unwrap_err().trial_in(), Some(60 * SECOND));
}

#[test]
fn a_machine_that_is_told_too_much_keeps_its_head() {
    let clock = ManualClock::default();
    let mut machine = Machine::new(Settings::default(), 0);
    let mut tell = |input: fn(Generation) -> Input<'static>| {
        let generation = machine.generation();
        let verdict = machine.step(input(generation), &Moment::of(&clock)).verdict;
        (verdict, machine.state())
    };
    assert_eq!(tell(Input::GiveBack), (Verdict::Ignored, State::Closed));
    tell(|_| Input::Force(State::Open, "test"));
    assert_eq!(tell(|generation| Input::Failure(generation, 0, "x")), (Verdict::Counted, State::Open));
    tell(|_| Input::Force(State::HalfOpen, "test"));
    assert_eq!(tell(Input::GiveBack), (Verdict::Ignored, State::HalfOpen));
    assert!(matches!(tell(|_| Input::Acquire).0, Verdict::Permitted(_)));
    assert_eq!(tell(|_| Input::Acquire).0, Verdict::NotPermitted, "no permit came back that was not out");
}

#[test]
fn clocks_that_stand_still_or_go_back_do_no_harm() {
    let settings =
        rates(Rates { window: Window::time(10 * SECOND), minimum_calls: 4.try_into().unwrap(), ..Rates::default() });
    let (breaker, clock) = breaker(settings);
    clock.advance(100 * SECOND);
    calls(&breaker, "..");
    clock.set(ManualClock::default().now());
    calls(&breaker, "xx");
    assert_eq!((breaker.state(), breaker.half_open_at()), (State::Open, Some(10 * SECOND)));
    assert_eq!(breaker.tick(), None);

    let (still, _) = self::breaker(Settings::default().with_open_time(OpenTime::fixed(Duration::ZERO)));
    calls(&still, "xxx.");
    assert_eq!(still.state(), State::Closed, "no time at all is over at once");

    let (never, clock) = self::breaker(Settings::default().with_open_time(OpenTime::fixed(Duration::MAX)));
    calls(&never, "xxx");
    clock.advance(Duration::MAX);
    assert_eq!(never.tick().map(|last| last.to), Some(State::HalfOpen), "the end of time is the end of waiting");
}

#[test]
fn listeners_may_use_the_breaker_and_see_the_state_that_they_are_told() {
    let (sender, told) = mpsc::channel();
    let made = Arc::new(OnceLock::<Arc<Breaker>>::new());
    let listener = {
        let made = Arc::clone(&made);
        move |transition: &Transition| {
            let Some(breaker) = made.get() else { return };
            // Each of these takes the lock.
            let said = (breaker.consecutive_failures(), breaker.half_open_at().is_some(), breaker.tick().is_some());
            sender.send((transition.to, breaker.state(), said)).unwrap();
        }
    };
    let breaker = made.get_or_init(|| Arc::new(Breaker::builder("backend").listener(listener).build())).clone();
    // In a thread of its own: under the lock it would wait for itself.
    std::thread::spawn(move || calls(&breaker, "xxx"));
    let said = told.recv_timeout(60 * SECOND).expect("the listener comes to its end");
    assert_eq!(said, (State::Open, State::Open, (3, true, false)));
}

#[test]
fn a_listener_that_panics_takes_its_call_with_it_and_nothing_else() {
    let clock = ManualClock::default();
    let listener = |transition: &Transition| assert!(transition.from.is_none(), "on purpose");
    let breaker = Breaker::builder("backend").clock(clock.clone()).listener(listener).build();
    let panics = |call: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    let fails = || drop(breaker.try_acquire().unwrap().failure("reset"));
    fails();
    fails();
    panics(&fails);
    assert_eq!((breaker.state(), breaker.calls().failure), (State::Open, 3), "what it was told of is done");

    clock.advance(10 * SECOND);
    panics(&|| drop(breaker.try_acquire()));
    assert_eq!(breaker.state(), State::HalfOpen);
    let trial = breaker.try_acquire().expect("the trial of the call that panicked is there for another");
    assert!(breaker.try_acquire().is_err(), "and there is one of them");
    let trial = std::cell::Cell::new(Some(trial));
    panics(&|| drop(trial.take().unwrap().success()));
    let calls = breaker.calls();
    assert_eq!((breaker.state(), calls.success, calls.ignored), (State::Closed, 1, 1));
    assert_eq!(calls.permitted, calls.success + calls.failure + calls.ignored);
}
