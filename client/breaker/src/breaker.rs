//! The thread-safe handle: one mutex around the machine and its record, tickets for the calls in flight.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    machine::{Change, Generation, Input, Machine, Settings, Step, Verdict, give_back, step},
    record::{CursorAhead, Record},
    wire::{BreakerReport, Cursor, Now, State, Transition},
};

type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// A circuit breaker that threads share by reference or in an `Arc`.
///
/// See the [crate's page](crate) for an example of a whole outage.
pub struct Breaker {
    name: String,
    epoch: Uuid,
    settings: Settings,
    shared: Mutex<Shared>,
    listeners: Vec<Listener>,
}

/// What changes together, in one critical section.
struct Shared {
    machine: Machine,
    record: Record,
}

impl Breaker {
    /// A closed breaker; `epoch` is the process's, drawn anew at each start, and goes into its cursors.
    pub fn new(name: impl Into<String>, epoch: Uuid, settings: Settings, now: Now) -> Self {
        let shared = Shared { machine: Machine::default(), record: Record::new(epoch, settings.capacity, now) };
        Self { name: name.into(), epoch, settings, shared: Mutex::new(shared), listeners: Vec::new() }
    }

    /// Tells `listener` the transitions so far (the start), and from now on each new one.
    ///
    /// It is told after the lock is released, so it may use the breaker; two threads that change the state
    /// shortly one after the other may tell it in the wrong order, which the sequence numbers show.
    /// If it panics, so does the call that made the transition.
    ///
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use breakwater_breaker::{Breaker, Now, Settings, State};
    /// use jiff::Timestamp;
    ///
    /// let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
    /// let (sender, told) = mpsc::channel();
    /// let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), now)
    ///     .with_listener(move |transition| sender.send((transition.seq, transition.to)).unwrap());
    /// for _ in 0..3 {
    ///     breaker.try_acquire(now).unwrap().failure("connect", now);
    /// }
    /// assert_eq!(told.try_iter().collect::<Vec<_>>(), [(1, State::Closed), (2, State::Open)]);
    /// ```
    pub fn with_listener(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.lock().record.kept().for_each(&listener);
        self.listeners.push(Box::new(listener));
        self
    }

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

    /// A copy of its machine: state and counts of one moment, without the record.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use breakwater_breaker::{Breaker, Now, Settings, State};
    /// # let now = Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
    /// # let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), now);
    /// breaker.try_acquire(now).unwrap().success(now);
    /// let machine = breaker.machine();
    /// assert_eq!((machine.state(), machine.calls().success), (State::Closed, 1));
    /// ```
    pub fn machine(&self) -> Machine {
        self.lock().machine
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.machine().state()
    }

    /// When an open breaker goes half-open, since the start of the process: [`tick`](Self::tick) it then.
    pub fn half_open_at(&self) -> Option<Duration> {
        self.machine().half_open_at()
    }

    /// Asks to make a call. Tell the ticket how it went, or drop it to have the call counted as neither.
    ///
    /// # Errors
    /// [`NotPermitted`] while open (until a [`tick`](Self::tick), even past the open time), and while half-open
    /// with the trial in flight.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use breakwater_breaker::{Breaker, Now, Settings};
    /// # let now = Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
    /// # let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), now);
    /// match breaker.try_acquire(now) {
    ///     Ok(ticket) => ticket.success(now),
    ///     Err(refused) => panic!("{refused}"),
    /// };
    /// ```
    pub fn try_acquire(&self, now: Now) -> Result<Ticket<'_>, NotPermitted> {
        let mut shared = self.lock();
        let Step { machine, verdict, .. } = step(&self.settings, shared.machine, Input::Acquire, now);
        shared.machine = machine;
        match verdict {
            Verdict::Permitted(generation) => {
                Ok(Ticket { breaker: self, generation: Some(generation), trial: machine.state() == State::HalfOpen })
            }
            _ => Err(NotPermitted {
                state: machine.state(),
                trial_in: machine.half_open_at().map(|until| until.saturating_sub(now.mono())),
            }),
        }
    }

    /// Time went on: makes an open breaker half-open if that is due, and gives the transition.
    pub fn tick(&self, now: Now) -> Option<Transition> {
        self.apply(Input::Tick, now).1
    }

    /// The breaker as it is, with the transitions after `since` (all that are kept, if absent).
    ///
    /// # Errors
    /// [`CursorAhead`] if `since` is of this process, but newer than its newest transition.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use breakwater_breaker::{Breaker, Now, Settings};
    /// # let now = Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
    /// # let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), now);
    /// let first = breaker.report(None, now).unwrap().transitions;
    /// assert_eq!(first.items.len(), 1);
    /// let second = breaker.report(Some(first.next), now).unwrap().transitions;
    /// assert_eq!(second.items.len(), 0);
    /// ```
    pub fn report(&self, since: Option<Cursor>, now: Now) -> Result<BreakerReport, CursorAhead> {
        let shared = self.lock();
        let transitions = shared.record.after(since)?;
        let machine = shared.machine;
        drop(shared);
        Ok(BreakerReport {
            name: self.name.clone(),
            state: machine.state(),
            consecutive_failures: machine.consecutive_failures(),
            half_open_at: machine.half_open_at().map(|until| wall_at(until, now)),
            first_failure_at: machine.first_failure().map(|first| first.wall),
            first_failure_mono_nanos: machine.first_failure().map(|first| first.mono_nanos),
            calls: machine.calls(),
            transitions,
        })
    }

    /// One critical section: the machine steps, and what it changed is recorded. Then the listeners are told.
    fn apply(&self, input: Input<'_>, now: Now) -> (Step, Option<Transition>) {
        let mut shared = self.lock();
        let mut step = step(&self.settings, shared.machine, input, now);
        shared.machine = step.machine;
        let transition = step.change.take().map(|Change { to, cause, .. }| shared.record.push(to, cause, now));
        drop(shared);
        if let Some(transition) = &transition {
            self.listeners.iter().for_each(|listener| listener(transition));
        }
        (step, transition)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in a critical section leaves the machine before its step or after it, never between.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What the wall clock will say when the monotonic one says `mono`, if nobody sets it.
fn wall_at(mono: Duration, now: Now) -> Timestamp {
    let ahead = SignedDuration::try_from(mono).unwrap_or(SignedDuration::MAX)
        - SignedDuration::try_from(now.mono()).unwrap_or(SignedDuration::MAX);
    now.wall.checked_add(ahead).unwrap_or(Timestamp::MAX)
}

/// The permit of one call. Dropped without a result (a call cancelled, or cut by its deadline) it gives the permit
/// back, and the call counts as neither success nor failure.
///
/// ```
/// # use std::time::Duration;
/// # use breakwater_breaker::{Breaker, Now, Settings};
/// # let now = Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
/// # let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), now);
/// drop(breaker.try_acquire(now).unwrap());
/// assert_eq!(breaker.report(None, now).unwrap().calls.ignored, 1);
/// ```
#[must_use = "a ticket that is dropped counts as a call without a result"]
#[derive(Debug)]
pub struct Ticket<'a> {
    breaker: &'a Breaker,
    generation: Option<Generation>,
    trial: bool,
}

impl Ticket<'_> {
    /// This call is the trial of a half-open breaker.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// The call succeeded. Gives the transition that this made.
    pub fn success(mut self, now: Now) -> Option<Transition> {
        let generation = self.generation.take()?;
        self.breaker.apply(Input::Success(generation), now).1
    }

    /// The call failed; `error` says in a word or two how, and is kept up to 120 characters.
    ///
    /// Gives `None` if the failure did not count, as the call was let through before the last transition.
    pub fn failure(mut self, error: &str, now: Now) -> Option<Failed> {
        let generation = self.generation.take()?;
        let (step, transition) = self.breaker.apply(Input::Failure(generation, error), now);
        (step.verdict == Verdict::Counted)
            .then(|| Failed { consecutive_failures: step.machine.consecutive_failures(), transition })
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(generation) = self.generation.take() {
            let mut shared = self.breaker.lock();
            shared.machine = give_back(shared.machine, generation);
        }
    }
}

/// What a failure that counted did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Failures in a row, this one included.
    pub consecutive_failures: u64,
    /// The transition that it made.
    pub transition: Option<Transition>,
}

/// The breaker refused the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPermitted {
    /// The state that it refused it in: open, or half-open with the trial in flight.
    pub state: State,
    /// How long until an open breaker lets a trial call through.
    pub trial_in: Option<Duration>,
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trial_in {
            Some(wait) => write!(f, "the breaker is open; a trial call is due in {wait:.1?}"),
            None => f.write_str("the breaker is half-open, and its trial call is in flight"),
        }
    }
}

impl std::error::Error for NotPermitted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_lock_does_not_take_the_breaker_down() {
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        let breaker = Breaker::new("backend", Uuid::nil(), Settings::default(), now);
        std::thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                let _guard = breaker.lock();
                panic!("on purpose");
            });
            assert!(panicked.join().is_err());
        });
        assert!(breaker.shared.is_poisoned());
        breaker.try_acquire(now).unwrap().success(now);
        assert_eq!(breaker.report(None, now).unwrap().calls.success, 1);
    }

    #[test]
    fn a_due_time_beyond_all_calendars_is_said_as_the_last_moment() {
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!(wall_at(Duration::MAX, now), Timestamp::MAX);
        assert_eq!(wall_at(Duration::from_secs(2), now), Timestamp::from_second(2).unwrap());
    }
}
