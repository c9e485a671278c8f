//! The clock: the one place that reads it.
#![allow(clippy::disallowed_methods, reason = "the edge: here the clock is read")]

use std::time::Duration;

use breakwater_breaker::Now;
use jiff::Timestamp;
use tokio::time::Instant;

/// The clocks of this process; the monotonic one counts from its start, and is tokio's, which tests can set.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// This moment by both clocks.
    pub fn now(&self) -> Now {
        Now::new(Timestamp::now(), self.origin.elapsed())
    }

    /// The moment `mono` after the start, for timers.
    pub fn instant(&self, mono: Duration) -> Instant {
        // Beyond what the clock can say is thirty years, as tokio has it for its own far future.
        self.origin.checked_add(mono).unwrap_or_else(|| self.origin + Duration::from_secs(86_400 * 365 * 30))
    }
}

/// The breaker takes the time from it, too.
impl breakwater_breaker::Clock for Clock {
    fn mono_nanos(&self) -> u64 {
        self.now().mono_nanos
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}
