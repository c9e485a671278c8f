//! The permit of one call, and what is said instead of it.

use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use crate::{
    breaker::Breaker,
    classify::Outcome,
    gate::Word,
    wire::{State, Transition},
};

/// What a permit knows: the gate as the call went through it, and when, if that matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) word: Word,
    pub(crate) started: u64,
}

/// The permit of one call. Dropped without a result (a call that is cancelled, is cut by its deadline, or panics) it is
/// given back, and the call counts as neither success nor failure.
///
/// ```
/// use breakwater_breaker::{Breaker, Settings};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// drop(breaker.try_acquire().unwrap());
/// assert_eq!(breaker.calls().ignored, 1);
/// ```
#[must_use = "a permit that is dropped counts as a call without a result"]
#[derive(Debug)]
pub struct Permit<B: Borrow<Breaker>> {
    breaker: B,
    pass: Option<Pass>,
}

/// A permit that holds its breaker, for calls that outlive where they began.
///
/// ```
/// use std::sync::Arc;
/// use breakwater_breaker::{Breaker, OwnedPermit, Settings};
///
/// let breaker = Arc::new(Breaker::new("backend", Settings::default()));
/// let permit: OwnedPermit = breaker.try_acquire_owned().unwrap();
/// drop(breaker);
/// permit.success();
/// ```
pub type OwnedPermit = Permit<Arc<Breaker>>;

impl<B: Borrow<Breaker>> Permit<B> {
    pub(crate) fn new(breaker: B, pass: Pass) -> Self {
        Self { breaker, pass: Some(pass) }
    }

    /// The breaker that gave it.
    pub fn breaker(&self) -> &Breaker {
        self.breaker.borrow()
    }

    /// This call is a trial of a half-open breaker.
    pub fn is_trial(&self) -> bool {
        self.pass.is_some_and(|pass| pass.word.state() == State::HalfOpen)
    }

    /// The call succeeded. Gives the transition that this made.
    #[inline]
    pub fn success(mut self) -> Option<Transition> {
        let pass = self.pass.take()?;
        self.breaker.borrow().succeeded(pass)
    }

    /// The call failed; `error` says in a word or two how, and is kept up to 120 characters.
    ///
    /// Gives `None` if the failure did not count, as the call was let through before the last transition.
    pub fn failure(mut self, error: &str) -> Option<Failed> {
        let pass = self.pass.take()?;
        self.breaker.borrow().failed(pass, error)
    }

    /// The call ended as a classifier says. Gives the transition that this made.
    pub fn finish(self, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Success => self.success(),
            Outcome::Failure(error) => self.failure(error)?.transition,
            Outcome::Ignored => None,
        }
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.borrow().given_back(pass);
        }
    }
}

/// What a failure that counted did.
///
/// ```
/// use breakwater_breaker::{Breaker, Settings};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// let failed = breaker.try_acquire().unwrap().failure("reset").unwrap();
/// assert_eq!((failed.consecutive_failures, failed.transition), (1, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Failures in a row, this one included.
    pub consecutive_failures: u64,
    /// The transition that it made.
    pub transition: Option<Transition>,
}

/// The breaker refused the call.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Breaker, ManualClock, State};
///
/// let breaker = Breaker::builder("backend").clock(ManualClock::default()).build();
/// breaker.force(State::Open, "test");
/// let refused = breaker.try_acquire().unwrap_err();
/// assert_eq!((refused.state(), refused.trial_in()), (State::Open, Some(Duration::from_secs(10))));
/// assert_eq!(refused.to_string(), "the breaker is open; a trial call is due in 10.0s");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotPermitted {
    state: State,
    /// Nanoseconds until a trial; 0 if nobody knows, as a trial that is due would have been permitted.
    trial_in: u64,
}

impl NotPermitted {
    pub(crate) fn until(until: u64, now: u64) -> Self {
        Self { state: State::Open, trial_in: until.saturating_sub(now) }
    }

    pub(crate) fn for_ever(state: State) -> Self {
        Self { state, trial_in: 0 }
    }

    /// The state that it refused it in: open, forced open, or half-open with its trials in flight.
    pub fn state(&self) -> State {
        self.state
    }

    /// How long until an open breaker lets a trial call through; `None` if nobody knows.
    pub fn trial_in(&self) -> Option<Duration> {
        (self.trial_in > 0).then(|| Duration::from_nanos(self.trial_in))
    }
}

impl fmt::Debug for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotPermitted").field("state", &self.state).field("trial_in", &self.trial_in()).finish()
    }
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, self.trial_in()) {
            (_, Some(wait)) => write!(f, "the breaker is open; a trial call is due in {wait:.1?}"),
            (State::HalfOpen, None) => f.write_str("the breaker is half-open, and its trial calls are in flight"),
            (State::ForcedOpen, None) => f.write_str("the breaker is forced open"),
            (_, None) => f.write_str("the breaker is open"),
        }
    }
}

impl std::error::Error for NotPermitted {}
