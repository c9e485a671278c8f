//! The thread-safe handle: one mutex around the machine and its record, and before it a gate that needs no lock.

mod report;

use std::{fmt, mem, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    clock::{Clock, nanos},
    door::Door,
    gate::{Gate, Word},
    machine::{Input, Machine, Moment, Step, Verdict},
    permit::{Failed, NotPermitted, OwnedPermit, Pass, Permit},
    record::Record,
    settings::{Policy, Settings},
    sync::{Mutex, MutexGuard, PoisonError},
    tally::{Counted, Tally},
    wire::{State, Transition},
};

pub(crate) type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// A circuit breaker that threads share by reference or in an `Arc`.
///
/// See the [crate's page](crate) for an example of a whole outage.
pub struct Breaker {
    gate: Gate,
    door: Door,
    tally: Tally,
    way: Way,
    clock: Box<dyn Clock>,
    shared: Mutex<Shared>,
    name: String,
    epoch: Uuid,
    settings: Settings,
    listeners: Vec<Listener>,
}

/// How successes come in, as the settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Without the lock, as long as they change nothing.
    Free,
    /// Without the lock, as long as they change no more than a window of calls.
    Door,
    /// Through the lock, with the time that they took.
    Timed,
}

impl Way {
    fn of(settings: &Settings) -> Self {
        match settings.policy {
            Policy::ConsecutiveFailures(_) => Self::Free,
            Policy::Rates(rates) if rates.slow_calls.is_some() => Self::Timed,
            Policy::Rates(_) => Self::Door,
        }
    }
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
    transition: Option<Box<Transition>>,
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
            door: Door::shut(),
            tally: Tally::new(),
            way: Way::of(&settings),
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
    ///
    /// ```
    /// use std::time::Duration;
    /// use breakwater_breaker::{Breaker, ManualClock, State};
    ///
    /// let clock = ManualClock::default();
    /// let breaker = Breaker::builder("backend").clock(clock.clone()).build();
    /// breaker.force(State::Open, "test");
    /// clock.advance(breaker.tick_at().unwrap());
    /// assert_eq!(breaker.tick().unwrap().to, State::HalfOpen);
    /// ```
    pub fn tick(&self) -> Option<Transition> {
        self.step(Input::Tick, &self.moment()).transition.map(|made| *made)
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
        self.step(Input::Force(state, reason), &self.moment()).transition.map(|made| *made)
    }

    #[inline]
    fn admit(&self) -> Result<Pass, NotPermitted> {
        let word = self.gate.word();
        if word.admits() {
            self.tally.count(Counted::Permitted);
            Ok(Pass { word, started: if self.way == Way::Timed { self.clock.mono_nanos() } else { 0 } })
        } else {
            self.admit_unless_open(word)
        }
    }

    fn admit_unless_open(&self, word: Word) -> Result<Pass, NotPermitted> {
        let refused = match word.state() {
            State::ForcedOpen => NotPermitted::for_ever(State::ForcedOpen),
            state => {
                let now = self.clock.mono_nanos();
                match self.gate.open_until(word) {
                    Some(until) if state == State::Open && until > now => NotPermitted::until(until, now),
                    _ => return self.admit_by_lock(&Moment::at(&*self.clock, now)),
                }
            }
        };
        self.tally.count(Counted::NotPermitted);
        Err(refused)
    }

    #[cold]
    fn admit_by_lock(&self, moment: &Moment<'_>) -> Result<Pass, NotPermitted> {
        let done = self.change(Input::Acquire, moment);
        let (counted, admitted) = match (done.verdict, done.half_open_at) {
            (Verdict::Permitted(_), _) => {
                let started = if self.way == Way::Timed { moment.mono_nanos() } else { 0 };
                (Counted::Permitted, Ok(Pass { word: done.word, started }))
            }
            (_, Some(due)) => (Counted::NotPermitted, Err(NotPermitted::until(nanos(due), moment.mono_nanos()))),
            (_, None) => (Counted::NotPermitted, Err(NotPermitted::for_ever(done.word.state()))),
        };
        self.tally.count(counted);
        // A listener that panics takes the call with it, but not its trial.
        let trial = admitted.ok().map(|pass| Permit::new(self, pass));
        self.tell(&done);
        mem::forget(trial);
        admitted
    }

    #[inline]
    pub(crate) fn succeeded(&self, pass: Pass) -> Option<Transition> {
        let generation = pass.word.generation();
        let done = match self.way {
            // Nothing has happened since the call went through the gate, and a success is nothing new.
            Way::Free => pass.word.is_settled() && self.gate.word() == pass.word,
            Way::Door => self.door.enter(generation),
            Way::Timed => false,
        };
        if done {
            self.tally.count(Counted::Success);
            return None;
        }
        let moment = self.moment();
        let took = self.took(pass, &moment);
        let done = self.change(Input::Success(generation, took), &moment);
        self.count_result(Counted::Success, &done, took);
        self.tell(&done);
        // What time alone has changed was not made by this result.
        done.transition.filter(|_| done.verdict == Verdict::Counted).map(|made| *made)
    }

    pub(crate) fn failed(&self, pass: Pass, error: &str) -> Option<Failed> {
        let moment = self.moment();
        let took = self.took(pass, &moment);
        let done = self.change(Input::Failure(pass.word.generation(), took, error), &moment);
        self.count_result(Counted::Failure, &done, took);
        self.tell(&done);
        (done.verdict == Verdict::Counted).then_some(Failed {
            consecutive_failures: done.consecutive_failures,
            transition: done.transition.map(|made| *made),
        })
    }

    pub(crate) fn given_back(&self, pass: Pass) {
        self.tally.count(Counted::Ignored);
        if !pass.word.admits() {
            self.step(Input::GiveBack(pass.word.generation()), &self.moment());
        }
    }

    fn took(&self, pass: Pass, moment: &Moment<'_>) -> u64 {
        if self.way == Way::Timed { moment.mono_nanos().saturating_sub(pass.started) } else { 0 }
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

    /// A change of which the listeners are told at once, as nothing else is to be done for it.
    fn step(&self, input: Input<'_>, moment: &Moment<'_>) -> Done {
        let done = self.change(input, moment);
        self.tell(&done);
        done
    }

    /// One critical section: the machine steps, and what it changed is recorded and shown.
    fn change(&self, input: Input<'_>, moment: &Moment<'_>) -> Done {
        let mut shared = self.lock();
        self.take_in(&mut shared.machine, moment);
        let Step { verdict, change } = shared.machine.step(input, moment);
        let transition = change.map(|change| Box::new(shared.record.push(change.to, change.cause, moment.now())));
        let word = self.gate.show(&shared.machine);
        self.let_in(&shared.machine);
        let consecutive_failures = shared.machine.consecutive_failures();
        let half_open_at = shared.machine.half_open_at();
        drop(shared);
        Done { verdict, word, consecutive_failures, half_open_at, transition }
    }

    /// Comes last: a listener may panic.
    fn tell(&self, done: &Done) {
        if let Some(transition) = &done.transition {
            self.listeners.iter().for_each(|listener| listener(transition));
        }
    }

    pub(crate) fn mono_nanos(&self) -> u64 {
        self.clock.mono_nanos()
    }

    /// Shuts the door to successes, and adds those that went through to the window.
    fn take_in(&self, machine: &mut Machine, moment: &Moment<'_>) {
        if self.way == Way::Door {
            machine.succeeded(self.door.close(), moment);
        }
    }

    fn let_in(&self, machine: &Machine) {
        if self.way == Way::Door {
            self.door.open(machine);
        }
    }

    fn moment(&self) -> Moment<'_> {
        Moment::of(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Each step reads the clock, which alone may panic, before it changes what the gate shows.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(all(test, not(breaker_loom)))]
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
}
