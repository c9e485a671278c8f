//! The breaker's decisions: [`step`] takes a machine, an input and a moment, and gives the machine after it.
//!
//! ```text
//!            failures in a row = threshold
//!   Closed ───────────────────────────────▶ Open ◀──────────┐
//!     ▲                                      │              │
//!     │                     open time elapsed│              │ trial failed
//!     │                                      ▼              │
//!     └──────────────────────────────── HalfOpen ───────────┘
//!               trial succeeded
//! ```

use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use crate::wire::{CallCounts, Cause, Now, State, Unit};

/// Longest error that a record keeps, in characters, so that records stay small.
const MAX_ERROR: usize = 120;

/// How a breaker behaves.
///
/// ```
/// use breakwater_breaker::Settings;
///
/// let settings = Settings::default();
/// assert_eq!(settings.failure_threshold.get(), 3);
/// assert_eq!(settings.open_for.as_secs(), 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This many failures in a row open it. 3 by default.
    pub failure_threshold: NonZeroU64,
    /// How long it stays open before a trial call. 10 s by default.
    pub open_for: Duration,
    /// What is counted, as each record says it. It changes nothing else. Attempts by default.
    pub unit: Unit,
    /// How many transitions are kept; older ones are dropped and counted. 1024 by default.
    pub capacity: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failure_threshold: NonZeroU64::new(3).expect("3 is not 0"),
            open_for: Duration::from_secs(10),
            unit: Unit::Attempt,
            capacity: NonZeroUsize::new(1024).expect("1024 is not 0"),
        }
    }
}

/// All that a breaker knows but its record of transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    phase: Phase,
    generation: Generation,
    consecutive_failures: u64,
    first_failure: Option<Now>,
    calls: CallCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        trial_in_flight: bool,
    },
}

/// Which stretch between two transitions a call was let through in; results of another one count as nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(u64);

/// What happens to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Somebody asks to call.
    Acquire,
    /// A call that was let through succeeded.
    Success(Generation),
    /// A call that was let through failed, and what it said.
    Failure(Generation, &'a str),
    /// Time went on.
    Tick,
}

/// What [`step`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The machine after the input.
    pub machine: Machine,
    /// What became of the call.
    pub verdict: Verdict,
    /// The change of state that the input made.
    pub change: Option<Change>,
}

/// What became of the call that an [`Input`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go; its result is to be told with this generation.
    Permitted(Generation),
    /// It may not go.
    NotPermitted,
    /// Its result counts.
    Counted,
    /// Its result counts as nothing: it was let through before the last transition.
    Ignored,
    /// The input was about no call.
    NoCall,
}

/// A change of state that has no number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Decides what `input` does to `machine` at `now`. Total and pure: the same arguments give the same answer.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Now, Settings, machine::{Input, Machine, Verdict, step}};
/// use jiff::Timestamp;
///
/// let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
/// let asked = step(&Settings::default(), Machine::default(), Input::Acquire, now);
/// assert!(matches!(asked.verdict, Verdict::Permitted(_)));
/// assert_eq!(asked.machine.calls().permitted, 1);
/// ```
pub fn step(settings: &Settings, machine: Machine, input: Input<'_>, now: Now) -> Step {
    match input {
        Input::Acquire => acquire(machine),
        Input::Success(generation) | Input::Failure(generation, _) if generation != machine.generation => {
            let mut after = machine;
            after.calls.ignored += 1;
            Step { machine: after, verdict: Verdict::Ignored, change: None }
        }
        Input::Success(_) => success(machine),
        Input::Failure(_, error) => failure(settings, machine, error, now),
        Input::Tick => tick(machine, now),
    }
}

/// Takes back the permit of a call that ends without a result: cancelled, or cut by a deadline.
///
/// It needs no clock and changes no state, so that a ticket can do it when it is dropped.
pub fn give_back(mut machine: Machine, generation: Generation) -> Machine {
    machine.calls.ignored += 1;
    if generation == machine.generation
        && let Phase::HalfOpen { trial_in_flight } = &mut machine.phase
    {
        *trial_in_flight = false;
    }
    machine
}

fn acquire(mut machine: Machine) -> Step {
    let permitted = match &mut machine.phase {
        Phase::Closed => true,
        Phase::Open { .. } => false,
        Phase::HalfOpen { trial_in_flight } => !std::mem::replace(trial_in_flight, true),
    };
    let verdict = if permitted {
        machine.calls.permitted += 1;
        Verdict::Permitted(machine.generation)
    } else {
        machine.calls.not_permitted += 1;
        Verdict::NotPermitted
    };
    Step { machine, verdict, change: None }
}

fn success(mut machine: Machine) -> Step {
    machine.calls.success += 1;
    machine.consecutive_failures = 0;
    machine.first_failure = None;
    let change =
        matches!(machine.phase, Phase::HalfOpen { .. }).then(|| machine.enter(Phase::Closed, Cause::TrialSucceeded));
    Step { machine, verdict: Verdict::Counted, change }
}

fn failure(settings: &Settings, mut machine: Machine, error: &str, now: Now) -> Step {
    machine.calls.failure += 1;
    machine.consecutive_failures += 1;
    machine.first_failure.get_or_insert(now);
    let count = machine.consecutive_failures;
    let cause = match machine.phase {
        Phase::HalfOpen { .. } => Some(Cause::TrialFailed { last_error: short(error) }),
        Phase::Closed if count >= settings.failure_threshold.get() => {
            Some(Cause::ConsecutiveFailures { count, unit: settings.unit, last_error: short(error) })
        }
        // An open breaker has let no call of its own generation through.
        Phase::Closed | Phase::Open { .. } => None,
    };
    let open = Phase::Open { until: now.mono().saturating_add(settings.open_for) };
    let change = cause.map(|cause| machine.enter(open, cause));
    Step { machine, verdict: Verdict::Counted, change }
}

fn short(error: &str) -> String {
    error.chars().take(MAX_ERROR).collect()
}

fn tick(mut machine: Machine, now: Now) -> Step {
    let due = machine.half_open_at().is_some_and(|until| until <= now.mono());
    let change = due.then(|| machine.enter(Phase::HalfOpen { trial_in_flight: false }, Cause::OpenTimeElapsed));
    Step { machine, verdict: Verdict::NoCall, change }
}

impl Machine {
    /// The state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// When an open breaker goes half-open, by the monotonic clock: a [`Input::Tick`] is due then.
    pub fn half_open_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// Failures in a row since the last success.
    pub fn consecutive_failures(&self) -> u64 {
        self.consecutive_failures
    }

    /// When the first of these was known.
    pub fn first_failure(&self) -> Option<Now> {
        self.first_failure
    }

    /// Calls so far.
    pub fn calls(&self) -> CallCounts {
        self.calls
    }

    fn enter(&mut self, phase: Phase, cause: Cause) -> Change {
        let from = self.state();
        self.phase = phase;
        self.generation.0 += 1;
        Change { from, to: self.state(), cause }
    }
}
