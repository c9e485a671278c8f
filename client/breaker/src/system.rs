//! The edge: the clocks and the random numbers of the system.
#![allow(clippy::disallowed_methods, reason = "the edge: here the clock is read and the epoch is drawn")]

use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::{Clock, nanos};

/// The clocks of the system; the monotonic one counts from when this was made.
///
/// ```
/// use breakwater_breaker::{Clock, SystemClock};
///
/// let clock = SystemClock::start();
/// assert!(clock.mono_nanos() <= clock.mono_nanos());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn mono_nanos(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// An epoch that no other process has.
pub(crate) fn new_epoch() -> Uuid {
    Uuid::new_v4()
}
