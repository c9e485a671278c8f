//! The breaker's decisions: [`Machine::step`] takes an input and a moment, and says what becomes of the call.
//!
//! ```text
//!              policy: enough failed or slow
//!   Closed ───────────────────────────────────▶ Open ◀──────────┐
//!     ▲                                          │              │ too many trials failed or slow,
//!     │                         open time elapsed│              │ or one did not end in time
//!     │                                          ▼              │
//!     └──────────────────────────────────── HalfOpen ───────────┘
//!             enough trials succeeded
//!
//!   ForcedOpen, Disabled: into each state, and out of these two only, by `Input::Force`
//! ```
//!
//! It reads no clock, draws nothing at random, and takes no memory while closed: the same inputs at the same moments
//! give the same answers.

mod step;

use std::time::Duration;

pub use crate::clock::Moment;
pub use step::{Change, Generation, Input, Step, Verdict};

use crate::{
    clock::nanos,
    settings::{Policy, Settings},
    trials::{Fate, Trials},
    window::{Call, History, is_slow},
    wire::{Cause, Now, State, WindowCounts},
};

/// Longest error or reason that a record keeps, in characters, so that records stay small.
const MAX_TEXT: usize = 120;

/// All that a breaker knows but its record of transitions.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Now, Settings, State, machine::{Input, Machine, Moment, Verdict}};
/// use jiff::Timestamp;
///
/// let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
/// let mut machine = Machine::new(Settings::default(), 0);
/// let asked = machine.step(Input::Acquire, &Moment::of(&now));
/// assert_eq!(asked.verdict, Verdict::Permitted(machine.generation()));
/// assert_eq!(machine.state(), State::Closed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    settings: Settings,
    seed: u64,
    phase: Phase,
    generation: Generation,
    consecutive_failures: u64,
    first_failure: Option<Now>,
    history: Option<History>,
    /// Openings in a row that trials brought about.
    reopened: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: u64 },
    HalfOpen(Trials),
    ForcedOpen,
    Disabled,
}

impl Machine {
    /// A closed breaker. The jitter of its open times is drawn from `seed`.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let history = match settings.policy {
            Policy::ConsecutiveFailures(_) => None,
            Policy::Rates(rates) => Some(History::new(rates.window)),
        };
        Self {
            settings,
            seed,
            phase: Phase::Closed,
            generation: Generation::default(),
            consecutive_failures: 0,
            first_failure: None,
            history,
            reopened: 0,
        }
    }

    /// Decides what `input` does in the moment `at`. One input makes at most one transition.
    ///
    /// What time alone brings comes first: a breaker whose open time is over is half-open for the call that asks next,
    /// even if no [`Input::Tick`] came in time.
    pub fn step(&mut self, input: Input<'_>, at: &Moment<'_>) -> Step {
        let due = match input {
            // Giving a permit back changes no state, so that a permit can do it when it is dropped.
            Input::GiveBack(_) | Input::Force(..) => None,
            _ => self.elapse(at),
        };
        let (verdict, change) = match input {
            Input::Acquire => (self.acquire(at), None),
            Input::Success(generation, _) | Input::Failure(generation, ..) | Input::GiveBack(generation)
                if generation != self.generation =>
            {
                (Verdict::Ignored, None)
            }
            Input::GiveBack(_) => (self.give_back(), None),
            Input::Success(_, took) => (Verdict::Counted, self.finished(None, took, at)),
            Input::Failure(_, took, error) => (Verdict::Counted, self.finished(Some(error), took, at)),
            Input::Tick => (Verdict::NoCall, None),
            Input::Force(to, reason) => (Verdict::NoCall, self.force(to, reason, at)),
        };
        Step { verdict, change: due.or(change) }
    }

    /// So many successes, as [`step`](Self::step) takes them one by one, while it [is settled](Self::is_settled).
    pub(crate) fn succeeded(&mut self, calls: u64, at: &Moment<'_>) {
        if let (Phase::Closed, Some(history)) = (self.phase, &mut self.history) {
            history.push_good(calls, at);
        }
    }

    fn elapse(&mut self, at: &Moment<'_>) -> Option<Box<Change>> {
        match self.phase {
            Phase::Open { until } if until <= at.mono_nanos() => Some(self.half_open(Cause::OpenTimeElapsed)),
            Phase::HalfOpen(trials) if trials.overdue_at().is_some_and(|due| due <= at.mono_nanos()) => {
                Some(self.reopen(Cause::TrialOverdue, at))
            }
            _ => None,
        }
    }

    fn acquire(&mut self, at: &Moment<'_>) -> Verdict {
        let permitted = match &mut self.phase {
            Phase::Closed | Phase::Disabled => true,
            Phase::Open { .. } | Phase::ForcedOpen => false,
            Phase::HalfOpen(trials) => trials.acquire(self.settings.half_open.wait, at),
        };
        if permitted { Verdict::Permitted(self.generation) } else { Verdict::NotPermitted }
    }

    fn give_back(&mut self) -> Verdict {
        if let Phase::HalfOpen(trials) = &mut self.phase {
            trials.give_back();
        }
        Verdict::Ignored
    }

    /// A call of this generation succeeded, or failed with `error`.
    fn finished(&mut self, error: Option<&str>, took: u64, at: &Moment<'_>) -> Option<Box<Change>> {
        let slow = self.settings.slow_calls().is_some_and(|slow| is_slow(took, slow.longer_than));
        let call = Call { failed: error.is_some(), slow };
        match self.phase {
            // A disabled breaker judges nothing, and an open one has let no call of its own generation through.
            Phase::Disabled | Phase::Open { .. } | Phase::ForcedOpen => None,
            Phase::Closed => {
                self.count(error.is_some(), at);
                let cause = self.judge(call, error, at)?;
                Some(self.open(cause, at))
            }
            Phase::HalfOpen(trials) => {
                self.count(error.is_some(), at);
                let (trials, fate) = trials.finished(call, &self.settings);
                match fate {
                    Fate::Undecided => {
                        self.phase = Phase::HalfOpen(trials);
                        None
                    }
                    Fate::Closes => Some(self.close(Cause::TrialSucceeded)),
                    Fate::Failed => {
                        let last_error = error.map(short).unwrap_or_default();
                        Some(self.reopen(Cause::TrialFailed { last_error }, at))
                    }
                    Fate::Slow => Some(self.reopen(Cause::TrialSlow, at)),
                }
            }
        }
    }

    fn count(&mut self, failed: bool, at: &Moment<'_>) {
        if failed {
            self.first_failure.get_or_insert_with(|| at.now());
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        } else {
            self.first_failure = None;
            self.consecutive_failures = 0;
        }
    }

    /// Why a closed breaker opens, if it does.
    fn judge(&mut self, call: Call, error: Option<&str>, at: &Moment<'_>) -> Option<Cause> {
        let unit = self.settings.unit;
        match self.settings.policy {
            Policy::ConsecutiveFailures(threshold) => {
                let (error, count) = (error?, self.consecutive_failures);
                (count >= threshold.get()).then(|| Cause::ConsecutiveFailures { count, unit, last_error: short(error) })
            }
            Policy::Rates(rates) => {
                let WindowCounts { calls, failures, slow } = self.history.as_mut()?.push(call, at);
                if calls < rates.enough() {
                    return None;
                }
                if rates.failure_rate.reached(failures, calls) {
                    return Some(Cause::FailureRate { calls, failures, unit, last_error: error.map(short) });
                }
                rates.slow_calls.filter(|limit| limit.rate.reached(slow, calls)).map(|_| Cause::SlowCallRate {
                    calls,
                    slow,
                    unit,
                })
            }
        }
    }

    fn force(&mut self, to: State, reason: &str, at: &Moment<'_>) -> Option<Box<Change>> {
        if to == self.state() {
            return None;
        }
        let cause = Cause::Forced { reason: short(reason) };
        self.reopened = 0;
        Some(match to {
            State::Closed => self.close(cause),
            State::Open => self.open(cause, at),
            State::HalfOpen => self.half_open(cause),
            State::ForcedOpen => self.enter(Phase::ForcedOpen, cause),
            State::Disabled => self.enter(Phase::Disabled, cause),
        })
    }

    fn reopen(&mut self, cause: Cause, at: &Moment<'_>) -> Box<Change> {
        self.reopened = self.reopened.saturating_add(1);
        self.open(cause, at)
    }

    fn open(&mut self, cause: Cause, at: &Moment<'_>) -> Box<Change> {
        let open_for = self.settings.open_time.nth(self.reopened, draw(self.seed, self.generation));
        self.enter(Phase::Open { until: at.mono_nanos().saturating_add(nanos(open_for)) }, cause)
    }

    fn half_open(&mut self, cause: Cause) -> Box<Change> {
        self.enter(Phase::HalfOpen(Trials::new(self.settings.half_open.calls)), cause)
    }

    /// What was counted until now is no reason to open again.
    fn close(&mut self, cause: Cause) -> Box<Change> {
        self.reopened = 0;
        self.consecutive_failures = 0;
        self.first_failure = None;
        if let Some(history) = &mut self.history {
            history.clear();
        }
        self.enter(Phase::Closed, cause)
    }

    fn enter(&mut self, phase: Phase, cause: Cause) -> Box<Change> {
        let from = self.state();
        self.phase = phase;
        self.generation.0 = self.generation.0.wrapping_add(1);
        Box::new(Change { from, to: self.state(), cause })
    }
}

/// What it is asked.
impl Machine {
    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }

    /// The stretch between two transitions that it is in.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// When an open breaker goes half-open, by the monotonic clock.
    pub fn half_open_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => Some(Duration::from_nanos(until)),
            _ => None,
        }
    }

    /// When time alone changes the state, by the monotonic clock: an [`Input::Tick`] is due then.
    pub fn tick_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => Some(Duration::from_nanos(until)),
            Phase::HalfOpen(trials) => trials.overdue_at().map(Duration::from_nanos),
            _ => None,
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

    /// The calls that a policy of rates looks at.
    pub fn window(&mut self, at: &Moment<'_>) -> Option<WindowCounts> {
        self.history.as_mut().map(|history| history.counts(at))
    }

    /// A success of this generation would change nothing but the window, and no clock is needed for it.
    pub(crate) fn is_settled(&self) -> bool {
        let settled_window = || match (&self.settings.policy, &self.history) {
            // Of a window that is judged already, one success more can only make a smaller part fail.
            (Policy::Rates(rates), Some(history)) => {
                rates.slow_calls.is_none() && history.is_of_calls() && history.len() >= rates.enough()
            }
            _ => true,
        };
        match self.phase {
            Phase::Closed => self.consecutive_failures == 0 && settled_window(),
            Phase::Disabled => true,
            _ => false,
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// A number of all 64 bits: splitmix64 (Steele, Lea and Flood, 2014) of the seed and the generation.
fn draw(seed: u64, generation: Generation) -> u64 {
    let mut z = seed.wrapping_add(generation.0.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
