//! The wall clock. It is passed in, so that a test may have another one.
#![allow(clippy::disallowed_methods, reason = "the edge: here the time comes from")]

use std::{fmt, sync::Arc};

use jiff::{Timestamp, Unit};

/// Tells the time by the wall; what lasts how long is measured by tokio's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// To the microsecond, as Kubernetes' own MicroTime.
    pub fn now(&self) -> Timestamp {
        (self.0)().round(Unit::Microsecond).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
