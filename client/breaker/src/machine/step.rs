//! What a machine is told, and what it answers.

use crate::wire::{Cause, State};

/// Which stretch between two transitions a call was let through in; results of another one count as nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub(crate) u64);

/// What happens to a breaker.
///
/// ```
/// use breakwater_breaker::{Cause, Clock, ManualClock, Settings, State, machine::{Input, Machine, Moment}};
///
/// let clock = ManualClock::default();
/// let mut machine = Machine::new(Settings::default(), 0);
/// let step = machine.step(Input::Force(State::Disabled, "test"), &Moment::of(&clock));
/// assert_eq!(step.change.unwrap().cause, Cause::Forced { reason: "test".into() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Somebody asks to call.
    Acquire,
    /// A call that was let through succeeded, after so many nanoseconds. They matter only where slow calls do.
    Success(Generation, u64),
    /// A call that was let through failed, after so many nanoseconds, and what it said.
    Failure(Generation, u64, &'a str),
    /// A call that was let through ended without a result that counts: cancelled, cut by a deadline, or ignored.
    GiveBack(Generation),
    /// Time went on.
    Tick,
    /// Somebody wants this state, and why.
    Force(State, &'a str),
}

/// What [`Machine::step`](super::Machine::step) gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What became of the call.
    pub verdict: Verdict,
    /// The change of state that the input made. It is rare: in a box of its own it costs the others nothing.
    pub change: Option<Box<Change>>,
}

/// What became of the call that an [`Input`] is about.
///
/// ```
/// use breakwater_breaker::{ManualClock, Settings, machine::{Input, Machine, Moment, Verdict}};
///
/// let clock = ManualClock::default();
/// let mut machine = Machine::new(Settings::default(), 0);
/// let generation = machine.generation();
/// assert_eq!(machine.step(Input::Success(generation, 0), &Moment::of(&clock)).verdict, Verdict::Counted);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go; its result is to be told with this generation.
    Permitted(Generation),
    /// It may not go.
    NotPermitted,
    /// Its result counts.
    Counted,
    /// Its result counts as nothing: it has none, or was let through before the last transition.
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
