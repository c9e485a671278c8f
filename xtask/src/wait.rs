//! The clock: how long something took, and waiting for a condition with a time-out.
#![allow(clippy::disallowed_methods, reason = "the edge: here the clock is read and waited for")]

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Measures from its making on.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Asks `condition` every 100 ms until it gives a value. An error of `condition` ends the wait at once.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if watch.elapsed() > limit {
            bail!("{what}: not within {}", short(limit));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A duration for people: `0.3 s`, `42 s`, `7 min 24 s`.
pub fn short(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, text) in
            [(0, "0.0 s"), (340, "0.3 s"), (9_949, "9.9 s"), (42_900, "42 s"), (444_000, "7 min 24 s")]
        {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }
}
