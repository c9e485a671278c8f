//! The thread-safe handle: one mutex around the machine and its record, and before it a gate that needs no lock.

use std::{fmt, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    clock::Clock,
    gate::{Gate, Word},
    machine::{Input, Machine, Moment, Step, Verdict},
    permit::{Failed, NotPermitted, OwnedPermit, Pass, Permit},
    record::{CursorAhead, Record},
    settings::Settings,
    sync::{Mutex, MutexGuard, PoisonError},
    tally::{Counted, Tally},
    wire::{BreakerReport, CallCounts, Cursor, Now, State, Transition},
};

pub(crate) type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// A circuit breaker that threads share by reference or in an `Arc`.
///
/// See the [crate's page](crate) for an example of a whole outage.
pub struct Breaker {
    gate: Gate,
    tally: Tally,
    /// Whether calls are measured.
    timed: bool,
    clock: Box<dyn Clock>,
    shared: Mutex<Shared>,
    name: String,
    epoch: Uuid,
    settings: Settings,
    listeners: Vec<Listener>,
}

/// What changes together, in one critical section.
struct Shared {
    machine: Machine,
    record: Record,
}

/// What a critical section did.
struct Done {
    verdict: Verdict,
    word: Word,
    consecutive_failures: u64,
    half_open_at: Option<Duration>,
    transition: Option<Transition>,
}

impl Breaker {
    pub(crate) fn start(
        name: String,
        settings: Settings,
        epoch: Uuid,
        clock: Box<dyn Clock>,
        listeners: Vec<Listener>,
    ) -> Self {
        let machine = Machine::new(settings, seed(epoch, &name));
        let record = Record::new(epoch, settings.capacity, clock.now());
        record.kept().for_each(|start| listeners.iter().for_each(|listener| listener(start)));
        Self {
            gate: Gate::new(&machine),
            tally: Tally::new(),
            timed: settings.slow_calls().is_some(),
            clock,
            shared: Mutex::new(Shared { machine, record }),
            name,
            epoch,
            settings,
            listeners,
        }
    }

    /// Asks to make a call. Tell the permit how it went, or drop it to have the call counted as neither.
    ///
    /// # Errors
    /// [`NotPermitted`] while open, while forced open, and while half-open with its trials in flight.
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Settings};
    ///
    /// let breaker = Breaker::new("backend", Settings::default());
    /// match breaker.try_acquire() {
    ///     Ok(permit) => permit.success(),
    ///     Err(refused) => panic!("{refused}"),
    /// };
    /// assert_eq!(breaker.calls().success, 1);
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<&Self>, NotPermitted> {
        self.admit().map(|pass| Permit::new(self, pass))
    }

    /// Asks as [`try_acquire`](Self::try_acquire) does, for a permit that holds the breaker.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use breakwater_breaker::{Breaker, Settings};
    ///
    /// let breaker = Arc::new(Breaker::new("backend", Settings::default()));
    /// let permit = breaker.try_acquire_owned().unwrap();
    /// std::thread::spawn(move || permit.success()).join().unwrap();
    /// assert_eq!(breaker.calls().success, 1);
    /// ```
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<OwnedPermit, NotPermitted> {
        self.admit().map(|pass| Permit::new(Arc::clone(self), pass))
    }

    /// Time went on: makes an open breaker half-open if that is due (or a half-open one open again, if its trials take
    /// too long), and gives the transition. A program with a timer calls it at [`tick_at`](Self::tick_at), so that it
    /// happens then and not at the next call.
    pub fn tick(&self) -> Option<Transition> {
        self.step(Input::Tick, &self.moment()).transition
    }

    /// Puts the breaker into a state, whatever its calls do, and gives the transition; `None` if it is in it already.
    /// Out of ForcedOpen and Disabled only this leads; the other states go on from there as usual.
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Cause, Settings, State};
    ///
    /// let breaker = Breaker::new("backend", Settings::default());
    /// let forced = breaker.force(State::ForcedOpen, "maintenance until noon").unwrap();
    /// assert_eq!(forced.cause, Cause::Forced { reason: "maintenance until noon".into() });
    /// assert_eq!(breaker.try_acquire().unwrap_err().to_string(), "the breaker is forced open");
    /// breaker.force(State::Closed, "maintenance is over");
    /// assert!(breaker.try_acquire().is_ok());
    /// ```
    pub fn force(&self, state: State, reason: &str) -> Option<Transition> {
        self.step(Input::Force(state, reason), &self.moment()).transition
    }

    #[inline]
    fn admit(&self) -> Result<Pass, NotPermitted> {
        let word = self.gate.word();
        if word.admits() {
            self.tally.count(Counted::Permitted);
            Ok(Pass { word, started: if self.timed { self.clock.mono_nanos() } else { 0 } })
        } else {
            self.admit_unless_open(word)
        }
    }

    fn admit_unless_open(&self, word: Word) -> Result<Pass, NotPermitted> {
        let moment = self.moment();
        let open = |wait| Err(NotPermitted { state: word.state(), trial_in: wait });
        let refused = match word.state() {
            State::ForcedOpen => open(None),
            State::Open => match self.gate.open_until(word).and_then(|until| until.checked_sub(moment.mono_nanos())) {
                None | Some(0) => self.admit_by_lock(&moment),
                Some(wait) => open(Some(Duration::from_nanos(wait))),
            },
            _ => self.admit_by_lock(&moment),
        };
        self.tally.count(if refused.is_ok() { Counted::Permitted } else { Counted::NotPermitted });
        refused
    }

    fn admit_by_lock(&self, moment: &Moment<'_>) -> Result<Pass, NotPermitted> {
        let Done { verdict, word, half_open_at, .. } = self.step(Input::Acquire, moment);
        match verdict {
            Verdict::Permitted(_) => Ok(Pass { word, started: if self.timed { moment.mono_nanos() } else { 0 } }),
            _ => {
                let now = || Duration::from_nanos(moment.mono_nanos());
                Err(NotPermitted { state: word.state(), trial_in: half_open_at.map(|due| due.saturating_sub(now())) })
            }
        }
    }

    #[inline]
    pub(crate) fn succeeded(&self, pass: Pass) -> Option<Transition> {
        // Nothing has happened since the call went through the gate, and a success is nothing new.
        if pass.word.is_settled() && !self.timed && self.gate.word() == pass.word {
            self.tally.count(Counted::Success);
            return None;
        }
        let moment = self.moment();
        let took = self.took(pass, &moment);
        let done = self.step(Input::Success(pass.word.generation(), took), &moment);
        self.count_result(Counted::Success, &done, took);
        done.transition
    }

    pub(crate) fn failed(&self, pass: Pass, error: &str) -> Option<Failed> {
        let moment = self.moment();
        let took = self.took(pass, &moment);
        let done = self.step(Input::Failure(pass.word.generation(), took, error), &moment);
        self.count_result(Counted::Failure, &done, took);
        (done.verdict == Verdict::Counted)
            .then_some(Failed { consecutive_failures: done.consecutive_failures, transition: done.transition })
    }

    pub(crate) fn given_back(&self, pass: Pass) {
        if !pass.word.admits() {
            self.step(Input::GiveBack(pass.word.generation()), &self.moment());
        }
        self.tally.count(Counted::Ignored);
    }

    fn took(&self, pass: Pass, moment: &Moment<'_>) -> u64 {
        if self.timed { moment.mono_nanos().saturating_sub(pass.started) } else { 0 }
    }

    fn count_result(&self, result: Counted, done: &Done, took: u64) {
        if done.verdict != Verdict::Counted {
            return self.tally.count(Counted::Ignored);
        }
        self.tally.count(result);
        if self.settings.slow_calls().is_some_and(|slow| crate::window::is_slow(took, slow.longer_than)) {
            self.tally.count(Counted::Slow);
        }
    }

    /// One critical section: the machine steps, and what it changed is recorded and shown. Then the listeners are told.
    fn step(&self, input: Input<'_>, moment: &Moment<'_>) -> Done {
        let mut shared = self.lock();
        let Step { verdict, change } = shared.machine.step(input, moment);
        let transition = change.map(|change| shared.record.push(change.to, change.cause, moment.now()));
        let word = self.gate.show(&shared.machine);
        let consecutive_failures = shared.machine.consecutive_failures();
        let half_open_at = shared.machine.half_open_at();
        drop(shared);
        if let Some(transition) = &transition {
            self.listeners.iter().for_each(|listener| listener(transition));
        }
        Done { verdict, word, consecutive_failures, half_open_at, transition }
    }

    pub(crate) fn mono_nanos(&self) -> u64 {
        self.clock.mono_nanos()
    }

    fn moment(&self) -> Moment<'_> {
        Moment::of(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Each step reads the clock, which alone may panic, before it changes what the gate shows.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it is asked.
impl Breaker {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The epoch of its cursors.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its state. It takes no lock.
    pub fn state(&self) -> State {
        self.gate.word().state()
    }

    /// Its calls so far. It takes no lock; calls that go on meanwhile are in it or not.
    pub fn calls(&self) -> CallCounts {
        self.tally.sums()
    }

    /// Failures in a row since the last success.
    pub fn consecutive_failures(&self) -> u64 {
        self.lock().machine.consecutive_failures()
    }

    /// When an open breaker goes half-open, by its monotonic clock.
    pub fn half_open_at(&self) -> Option<Duration> {
        self.lock().machine.half_open_at()
    }

    /// When time alone changes its state, by its monotonic clock: [`tick`](Self::tick) it then.
    pub fn tick_at(&self) -> Option<Duration> {
        self.lock().machine.tick_at()
    }

    /// The breaker as it is, with the transitions after `since` (all that are kept, if absent). `now` is the moment
    /// that the report says it is of.
    ///
    /// # Errors
    /// [`CursorAhead`] if `since` is of this process, but newer than its newest transition.
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Clock, ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let breaker = Breaker::builder("backend").clock(clock.clone()).build();
    /// let first = breaker.report(None, clock.now()).unwrap().transitions;
    /// assert_eq!(first.items.len(), 1);
    /// let second = breaker.report(Some(first.next), clock.now()).unwrap().transitions;
    /// assert_eq!(second.items.len(), 0);
    /// ```
    pub fn report(&self, since: Option<Cursor>, now: Now) -> Result<BreakerReport, CursorAhead> {
        let mut shared = self.lock();
        let transitions = shared.record.after(since)?;
        let window = shared.machine.window(&Moment::of(&now));
        let machine = &shared.machine;
        Ok(BreakerReport {
            name: self.name.clone(),
            state: machine.state(),
            consecutive_failures: machine.consecutive_failures(),
            half_open_at: machine.half_open_at().map(|until| wall_at(until, now)),
            first_failure_at: machine.first_failure().map(|first| first.wall),
            first_failure_mono_nanos: machine.first_failure().map(|first| first.mono_nanos),
            calls: self.calls(),
            window,
            transitions,
        })
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What jitter is drawn from: different for each process, and for each breaker in it.
fn seed(epoch: Uuid, name: &str) -> u64 {
    let (high, low) = epoch.as_u64_pair();
    name.bytes().fold(high ^ low, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the wall clock will say when the monotonic one says `mono`, if nobody sets it.
fn wall_at(mono: Duration, now: Now) -> Timestamp {
    let ahead = SignedDuration::try_from(mono).unwrap_or(SignedDuration::MAX)
        - SignedDuration::try_from(now.mono()).unwrap_or(SignedDuration::MAX);
    now.wall.checked_add(ahead).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_lock_does_not_take_the_breaker_down() {
        let breaker = Breaker::new("backend", Settings::default());
        std::thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                let _guard = breaker.lock();
                panic!("on purpose");
            });
            assert!(panicked.join().is_err());
        });
        assert!(breaker.shared.is_poisoned());
        breaker.try_acquire().unwrap().failure("timeout");
        assert_eq!((breaker.calls().failure, breaker.consecutive_failures()), (1, 1));
    }

    #[test]
    fn a_due_time_beyond_all_calendars_is_said_as_the_last_moment() {
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!(wall_at(Duration::MAX, now), Timestamp::MAX);
        assert_eq!(wall_at(Duration::from_secs(2), now), Timestamp::from_second(2).unwrap());
    }
}
