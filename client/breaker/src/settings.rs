//! How a breaker behaves. Terms and figures are resilience4j's where it has them
//! ([its table](https://resilience4j.readme.io/docs/circuitbreaker#create-and-configure-a-circuitbreaker)).

use std::{
    fmt,
    num::{NonZeroU16, NonZeroU64, NonZeroUsize},
    time::Duration,
};

use crate::{open_time::OpenTime, wire::Unit};

/// How a breaker behaves: by default it opens after 3 failures in a row, and tries one call 10 s later.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{OpenTime, Policy, Rates, Settings};
///
/// let settings = Settings::default();
/// assert_eq!(settings.policy, Policy::consecutive_failures(3));
///
/// let settings = Settings::default()
///     .with_policy(Policy::Rates(Rates::default()))
///     .with_open_time(OpenTime::growing(Duration::from_secs(5), Duration::from_secs(60)));
/// assert_eq!(settings.open_time.longest(), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What opens it. 3 failures in a row by default.
    pub policy: Policy,
    /// How long it stays open before trial calls. 10 s by default.
    pub open_time: OpenTime,
    /// How it tries whether calls succeed again. By one call by default.
    pub half_open: HalfOpen,
    /// What is counted, as each record says it. It changes nothing else. Attempts by default.
    pub unit: Unit,
    /// How many transitions are kept; older ones are dropped and counted. 1024 by default.
    pub capacity: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::consecutive_failures(3),
            open_time: OpenTime::fixed(Duration::from_secs(10)),
            half_open: HalfOpen::default(),
            unit: Unit::Attempt,
            capacity: NonZeroUsize::new(1024).expect("1024 is not 0"),
        }
    }
}

impl Settings {
    /// The defaults of resilience4j 2: half of 100 calls failed, or all of 100 took longer than 60 s; 60 s open;
    /// 10 trial calls that are waited for without a limit.
    ///
    /// ```
    /// use breakwater_breaker::Settings;
    ///
    /// let settings = Settings::resilience4j();
    /// assert_eq!((settings.half_open.calls.get(), settings.half_open.wait), (10, None));
    /// ```
    pub fn resilience4j() -> Self {
        Self::default()
            .with_policy(Policy::Rates(Rates { slow_calls: Some(SlowCalls::default()), ..Rates::default() }))
            .with_open_time(OpenTime::fixed(Duration::from_secs(60)))
            .with_half_open(HalfOpen { calls: NonZeroU16::new(10).expect("10 is not 0"), wait: None })
            .with_unit(Unit::Call)
    }

    /// These with another [`policy`](Self::policy).
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// These with another [`open_time`](Self::open_time).
    pub fn with_open_time(self, open_time: OpenTime) -> Self {
        Self { open_time, ..self }
    }

    /// These with another [`half_open`](Self::half_open).
    pub fn with_half_open(self, half_open: HalfOpen) -> Self {
        Self { half_open, ..self }
    }

    /// These with another [`unit`](Self::unit).
    pub fn with_unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// These with another [`capacity`](Self::capacity).
    pub fn with_capacity(self, capacity: NonZeroUsize) -> Self {
        Self { capacity, ..self }
    }

    /// Slow calls, if they are looked for: only then is the clock read at the start and at the end of each call.
    pub fn slow_calls(&self) -> Option<SlowCalls> {
        match self.policy {
            Policy::ConsecutiveFailures(_) => None,
            Policy::Rates(rates) => rates.slow_calls,
        }
    }
}

/// What opens a closed breaker.
///
/// ```
/// use breakwater_breaker::{Policy, Rates, Settings};
///
/// let in_a_row = Settings::default().with_policy(Policy::consecutive_failures(5));
/// let half_of_the_last_hundred = Settings::default().with_policy(Policy::Rates(Rates::default()));
/// assert_ne!(in_a_row, half_of_the_last_hundred);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// This many failures in a row.
    ConsecutiveFailures(NonZeroU64),
    /// Too large a part of the newest calls failed, or was slow.
    Rates(Rates),
}

impl Policy {
    /// [`ConsecutiveFailures`](Self::ConsecutiveFailures) for a number that is written down.
    ///
    /// # Panics
    /// If `threshold` is 0.
    pub const fn consecutive_failures(threshold: u64) -> Self {
        Self::ConsecutiveFailures(NonZeroU64::new(threshold).expect("a threshold of failures is above 0"))
    }
}

/// When too large a part of the newest calls failed or was slow.
///
/// The window begins anew whenever the breaker closes.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Percent, Rates, SlowCalls, Window};
///
/// let rates = Rates {
///     window: Window::time(Duration::from_secs(30)),
///     minimum_calls: 20.try_into().unwrap(),
///     slow_calls: Some(SlowCalls { longer_than: Duration::from_millis(500), rate: Percent::new(80).unwrap() }),
///     ..Rates::default()
/// };
/// assert_eq!(rates.failure_rate.get(), 50);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// How far back is looked. 100 calls by default.
    pub window: Window,
    /// Fewer calls in the window are never judged; a window of calls that is shorter is judged when it is full.
    /// 100 by default.
    pub minimum_calls: NonZeroU64,
    /// This part of failures opens the breaker. 50 % by default.
    pub failure_rate: Percent,
    /// Slow calls, if they matter. They do not by default, so that no clock needs to be read.
    pub slow_calls: Option<SlowCalls>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            window: Window::calls(100),
            minimum_calls: NonZeroU64::new(100).expect("100 is not 0"),
            failure_rate: Percent(50),
            slow_calls: None,
        }
    }
}

impl Rates {
    /// So many calls are judged: [`minimum_calls`](Self::minimum_calls), or the whole window if that is shorter.
    pub(crate) fn enough(&self) -> u64 {
        match self.window {
            Window::Calls(size) => self.minimum_calls.get().min(size.get().into()),
            Window::Time(_) => self.minimum_calls.get(),
        }
    }
}

/// When slow calls open a breaker. By default when all of them take longer than 60 s.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Percent, Policy, Rates, Settings, SlowCalls};
///
/// let slow_calls = SlowCalls { longer_than: Duration::from_secs(2), rate: Percent::new(80).unwrap() };
/// let rates = Rates { slow_calls: Some(slow_calls), ..Rates::default() };
/// assert_eq!(Settings::default().with_policy(Policy::Rates(rates)).slow_calls(), Some(slow_calls));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowCalls {
    /// A call that takes longer is slow, whether it succeeds or fails.
    pub longer_than: Duration,
    /// This part of slow calls opens the breaker.
    pub rate: Percent,
}

impl Default for SlowCalls {
    fn default() -> Self {
        Self { longer_than: Duration::from_secs(60), rate: Percent(100) }
    }
}

/// How far back a policy of [`Rates`] looks.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Rates, Window};
///
/// let last_minute = Rates { window: Window::time(Duration::from_secs(60)), ..Rates::default() };
/// assert_ne!(last_minute.window, Window::calls(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Over the newest calls, one byte of memory each.
    Calls(NonZeroU16),
    /// Over the newest stretch of time. It is kept in ten slices, and forgets one slice at a time (Polly and Hystrix
    /// do the same), so that it reaches back by nine to ten tenths of this.
    Time(Duration),
}

impl Window {
    /// [`Calls`](Self::Calls) for a number that is written down.
    ///
    /// # Panics
    /// If `size` is 0.
    pub const fn calls(size: u16) -> Self {
        Self::Calls(NonZeroU16::new(size).expect("a window is not empty"))
    }

    /// [`Time`](Self::Time); below 10 ns it is 10 ns.
    pub const fn time(length: Duration) -> Self {
        Self::Time(length)
    }
}

/// How a half-open breaker tries whether calls succeed again.
///
/// Counting failures in a row, one failed trial opens it again and this many successes close it (as gobreaker and
/// failsafe do). With rates, the trials are judged by the same rates as soon as those that are still to come cannot
/// change the outcome. A trial that is cancelled or ignored is given back, and another call takes its place.
///
/// By default it is one call, which may take 60 s.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{HalfOpen, Settings};
///
/// let three = HalfOpen { calls: 3.try_into().unwrap(), wait: Some(Duration::from_secs(5)) };
/// assert_eq!(Settings::default().with_half_open(three).half_open.calls.get(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    /// How many calls decide; no more than that are let through.
    pub calls: NonZeroU16,
    /// How long trials may be in flight before the breaker opens again, counted from the first of them.
    /// Without a limit, a trial that never ends keeps it half-open for ever.
    pub wait: Option<Duration>,
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self { calls: NonZeroU16::MIN, wait: Some(Duration::from_secs(60)) }
    }
}

/// A part of a whole, from 1 to 100 percent.
///
/// ```
/// use breakwater_breaker::Percent;
///
/// assert_eq!(Percent::new(60).unwrap().to_string(), "60%");
/// assert_eq!((Percent::new(0), Percent::new(101)), (None, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// `None` outside of 1 to 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if matches!(percent, 1..=100) { Some(Self(percent)) } else { None }
    }

    /// 1 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// `part` of `whole` is this much, or more.
    pub(crate) const fn reached(self, part: u64, whole: u64) -> bool {
        part as u128 * 100 >= self.0 as u128 * whole as u128
    }

    /// The smallest part of `whole` that is this much, or more.
    pub(crate) const fn of(self, whole: u16) -> u16 {
        (whole as u32 * self.0 as u32).div_ceil(100) as u16
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}
