//! Whole stories of one breaker, as tables: what happens at which second, and the state after it.

use std::{num::NonZeroUsize, ops::Deref, time::Duration};

use breakwater_breaker::{Breaker, Cause, ManualClock, Now, Permit, Settings, State, Unit};
use jiff::Timestamp;

fn at(seconds: f64) -> Now {
    let mono = Duration::from_secs_f64(seconds);
    Now::new(Timestamp::UNIX_EPOCH.checked_add(mono).unwrap(), mono)
}

/// A breaker and its clock.
struct Timed {
    breaker: Breaker,
    clock: ManualClock,
}

impl Deref for Timed {
    type Target = Breaker;

    fn deref(&self) -> &Breaker {
        &self.breaker
    }
}

fn breaker(settings: Settings) -> Timed {
    let clock = ManualClock::new(at(0.0));
    Timed { breaker: Breaker::builder("backend").settings(settings).clock(clock.clone()).build(), clock }
}

enum Do {
    Succeed,
    Fail,
    Cancel,
    BeRefused,
    Tick,
}

use Do::*;
use State::{Closed, HalfOpen, Open};

/// Runs a story of `(second, what, state after)`; gives the transitions as `(from, to)`.
fn run(breaker: &Timed, story: &[(f64, Do, State)]) -> Vec<(State, State)> {
    for (second, what, state) in story {
        breaker.clock.set(at(*second));
        match what {
            Succeed => drop(breaker.try_acquire().unwrap().success()),
            Fail => assert!(breaker.try_acquire().unwrap().failure("timeout").is_some()),
            Cancel => drop(breaker.try_acquire().unwrap()),
            BeRefused => assert!(breaker.try_acquire().is_err(), "at {second}"),
            Tick => drop(breaker.tick()),
        }
        assert_eq!(breaker.state(), *state, "after second {second}");
    }
    let items = breaker.report(None, at(0.0)).unwrap().transitions.items;
    items.iter().filter_map(|item| Some((item.from?, item.to))).collect()
}

#[test]
fn stories() {
    let three_failures = || [(3.0, Fail, Closed), (6.0, Fail, Closed), (9.0, Fail, Open)];
    let story = |rest: Vec<(f64, Do, State)>| three_failures().into_iter().chain(rest).collect::<Vec<_>>();
    for (name, story, transitions) in [
        ("two failures are not three", vec![(3.0, Fail, Closed), (6.0, Fail, Closed)], vec![]),
        (
            "a success between starts the count anew",
            vec![(1.0, Fail, Closed), (2.0, Fail, Closed), (3.0, Succeed, Closed), (4.0, Fail, Closed)],
            vec![],
        ),
        (
            "a cancelled call neither counts nor starts the count anew",
            vec![
                (1.0, Fail, Closed),
                (2.0, Cancel, Closed),
                (3.0, Fail, Closed),
                (4.0, Cancel, Closed),
                (5.0, Fail, Open),
            ],
            vec![(Closed, Open)],
        ),
        (
            "open refuses until its time is over, and then a timer makes it half-open",
            story(vec![(10.0, BeRefused, Open), (18.9, BeRefused, Open), (18.9, Tick, Open), (19.0, Tick, HalfOpen)]),
            vec![(Closed, Open), (Open, HalfOpen)],
        ),
        (
            "where no timer does it, the next call is the trial",
            story(vec![(18.9, BeRefused, Open), (19.0, Succeed, Closed)]),
            vec![(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)],
        ),
        (
            "a trial that succeeds closes",
            story(vec![(19.0, Tick, HalfOpen), (20.0, Succeed, Closed), (21.0, Fail, Closed), (22.0, Fail, Closed)]),
            vec![(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)],
        ),
        (
            "a trial that fails opens for the whole time again",
            story(vec![(19.0, Tick, HalfOpen), (21.0, Fail, Open), (30.9, Tick, Open), (31.0, Tick, HalfOpen)]),
            vec![(Closed, Open), (Open, HalfOpen), (HalfOpen, Open), (Open, HalfOpen)],
        ),
        (
            "a cancelled trial leaves room for the next",
            story(vec![(19.0, Tick, HalfOpen), (20.0, Cancel, HalfOpen), (21.0, Succeed, Closed)]),
            vec![(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)],
        ),
        (
            "a clock that goes back opens nothing early",
            story(vec![(1.0, Tick, Open), (19.0, Tick, HalfOpen), (2.0, Tick, HalfOpen)]),
            vec![(Closed, Open), (Open, HalfOpen)],
        ),
    ] {
        println!("{name}");
        assert_eq!(run(&breaker(Settings::default()), &story), transitions, "{name}");
    }
}

#[test]
fn half_open_lets_one_trial_through_at_a_time() {
    let breaker = breaker(Settings::default());
    run(&breaker, &[(1.0, Fail, Closed), (2.0, Fail, Closed), (3.0, Fail, Open), (13.0, Tick, HalfOpen)]);
    let trial = breaker.try_acquire().unwrap();
    assert!(trial.is_trial());
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!((refused.state(), refused.trial_in()), (HalfOpen, None));
    trial.success();
    assert!(!breaker.try_acquire().unwrap().is_trial());
}

#[test]
fn results_of_calls_admitted_before_a_transition_count_as_nothing() {
    let breaker = breaker(Settings::default());
    let early: Vec<Permit<&Breaker>> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    run(&breaker, &[(1.0, Fail, Closed), (2.0, Fail, Closed), (3.0, Fail, Open), (13.0, Tick, HalfOpen)]);
    let [success, failure, cancelled] = early.try_into().unwrap();

    assert_eq!(success.success(), None);
    assert_eq!(breaker.state(), HalfOpen, "an early success closes nothing");
    assert_eq!(failure.failure("timeout"), None);
    assert_eq!(breaker.state(), HalfOpen, "an early failure opens nothing");
    let trial = breaker.try_acquire().unwrap();
    drop(cancelled);
    assert!(breaker.try_acquire().is_err(), "an early permit gives back no permit but its own");
    trial.success();

    let calls = breaker.report(None, at(15.0)).unwrap().calls;
    assert_eq!((calls.permitted, calls.success, calls.failure, calls.ignored), (7, 1, 3, 3));
    assert_eq!(calls.not_permitted, 1);
}

#[test]
fn a_report_says_why_and_when() {
    let breaker = breaker(Settings::default());
    run(&breaker, &[(1.0, Succeed, Closed), (3.0, Fail, Closed), (6.0, Fail, Closed), (9.0, Fail, Open)]);
    let report = breaker.report(None, at(12.0)).unwrap();
    assert_eq!(report.consecutive_failures, 3);
    assert_eq!(report.half_open_at, Some(at(19.0).wall));
    assert_eq!(report.first_failure_at, Some(at(3.0).wall));
    assert_eq!(report.first_failure_mono_nanos, Some(3_000_000_000));
    assert_eq!(report.transitions.items[0].cause, Cause::Started);
    let opened = &report.transitions.items[1];
    assert_eq!((opened.seq, opened.from, opened.at, opened.mono_nanos), (2, Some(Closed), at(9.0).wall, 9_000_000_000));
    assert_eq!(
        opened.cause,
        Cause::ConsecutiveFailures { count: 3, unit: Unit::Attempt, last_error: "timeout".into() }
    );

    breaker.clock.set(at(19.0));
    breaker.tick();
    let long = "ü".repeat(500);
    let failed = breaker.try_acquire().unwrap().failure(&long).unwrap();
    assert_eq!(failed.consecutive_failures, 4);
    assert_eq!(failed.transition.unwrap().cause, Cause::TrialFailed { last_error: "ü".repeat(120) });

    breaker.clock.set(at(31.0));
    breaker.tick();
    breaker.try_acquire().unwrap().success();
    let report = breaker.report(None, at(31.0)).unwrap();
    assert_eq!((report.consecutive_failures, report.half_open_at, report.first_failure_at), (0, None, None));
    assert_eq!(report.transitions.items.last().unwrap().cause, Cause::TrialSucceeded);
}

#[test]
fn a_ring_that_was_overrun_says_which_transitions_are_lost() {
    let breaker = breaker(Settings::default().with_capacity(NonZeroUsize::new(4).unwrap()));
    let start = breaker.report(None, at(0.0)).unwrap().transitions.next;
    for second in [1.0, 2.0, 3.0] {
        run(&breaker, &[(second, Fail, if second < 3.0 { Closed } else { Open })]);
    }
    for second in [20.0, 40.0, 60.0] {
        run(&breaker, &[(second, Tick, HalfOpen), (second, Fail, Open)]);
    }
    let report = breaker.report(Some(start), at(60.0)).unwrap().transitions;
    assert_eq!((report.first_seq, report.last_seq, report.dropped), (5, 8, 4));
    let gap = report.gap.unwrap();
    assert_eq!((gap.from, gap.to), (2, 4));
}
