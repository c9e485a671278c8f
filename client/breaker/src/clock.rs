//! Clocks: what the time is taken from, and when.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::wire::Now;

/// Where a breaker takes the time from.
///
/// It is read with the breaker's lock held: it must not use the breaker.
///
/// ```
/// use std::{sync::OnceLock, time::Instant};
/// use breakwater_breaker::{Breaker, Clock};
/// use jiff::Timestamp;
///
/// /// Counts from the first time that it is read.
/// #[derive(Debug, Default)]
/// struct Uptime(OnceLock<Instant>);
///
/// impl Clock for Uptime {
///     fn mono_nanos(&self) -> u64 {
///         self.0.get_or_init(Instant::now).elapsed().as_nanos() as u64
///     }
///
///     fn wall(&self) -> Timestamp {
///         Timestamp::now()
///     }
/// }
///
/// let breaker = Breaker::builder("backend").clock(Uptime::default()).build();
/// ```
pub trait Clock: fmt::Debug + Send + Sync {
    /// Nanoseconds on a clock that never goes back, counted from the start of the process or so.
    fn mono_nanos(&self) -> u64;

    /// The wall clock, which may jump; for records only.
    fn wall(&self) -> Timestamp;

    /// This moment by both.
    fn now(&self) -> Now {
        Now { wall: self.wall(), mono_nanos: self.mono_nanos() }
    }
}

/// A clock that stands still.
impl Clock for Now {
    fn mono_nanos(&self) -> u64 {
        self.mono_nanos
    }

    fn wall(&self) -> Timestamp {
        self.wall
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn mono_nanos(&self) -> u64 {
        (**self).mono_nanos()
    }

    fn wall(&self) -> Timestamp {
        (**self).wall()
    }
}

/// A clock that is set by hand, for tests. Clones of it are the same clock.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Breaker, ManualClock, State};
///
/// let clock = ManualClock::default();
/// let breaker = Breaker::builder("backend").clock(clock.clone()).build();
/// for _ in 0..3 {
///     breaker.try_acquire().unwrap().failure("timeout");
/// }
/// clock.advance(Duration::from_secs(10));
/// breaker.tick();
/// assert_eq!(breaker.state(), State::HalfOpen);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Now>>);

impl ManualClock {
    /// A clock that says `now`.
    pub fn new(now: Now) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Sets both clocks, also back, as broken ones would go.
    pub fn set(&self, now: Now) {
        *self.lock() = now;
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, time: Duration) {
        let mut now = self.lock();
        now.mono_nanos = now.mono_nanos.saturating_add(nanos(time));
        now.wall = now.wall.checked_add(time).unwrap_or(Timestamp::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At zero, 1970-01-01.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO))
    }
}

impl Clock for ManualClock {
    fn mono_nanos(&self) -> u64 {
        self.lock().mono_nanos
    }

    fn wall(&self) -> Timestamp {
        self.lock().wall
    }
}

/// One moment. The clock is read when somebody asks, and once only: most decisions need no time at all.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{ManualClock, machine::Moment};
///
/// let clock = ManualClock::default();
/// let moment = Moment::of(&clock);
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(moment.mono_nanos(), 1_000_000_000);
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(moment.mono_nanos(), 1_000_000_000);
/// ```
#[derive(Debug)]
pub struct Moment<'a> {
    clock: &'a dyn Clock,
    mono_nanos: Cell<Option<u64>>,
}

impl<'a> Moment<'a> {
    /// The moment in which it is first asked. A [`Now`] is a clock, too.
    pub fn of(clock: &'a dyn Clock) -> Self {
        Self { clock, mono_nanos: Cell::new(None) }
    }

    /// A moment of which one reading is known already.
    pub(crate) fn at(clock: &'a dyn Clock, mono_nanos: u64) -> Self {
        Self { clock, mono_nanos: Cell::new(Some(mono_nanos)) }
    }

    /// By the monotonic clock.
    pub fn mono_nanos(&self) -> u64 {
        self.mono_nanos.get().unwrap_or_else(|| {
            let read = self.clock.mono_nanos();
            self.mono_nanos.set(Some(read));
            read
        })
    }

    /// By both clocks.
    pub fn now(&self) -> Now {
        Now { wall: self.clock.wall(), mono_nanos: self.mono_nanos() }
    }
}

/// A duration in nanoseconds; 584 years fit.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}
