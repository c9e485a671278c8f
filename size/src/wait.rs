//! The clock: waiting for a condition with a time-out, and saying how far it is.
#![allow(clippy::disallowed_methods, reason = "the edge: here the clock is read and waited for")]

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Result, bail};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The wall clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A while.
pub async fn a_while(time: Duration) {
    sleep(time).await;
}

/// Looks until `probe` gives something.
///
/// # Errors
/// Where it gives nothing within `limit`, or has an error.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {limit:?}");
        }
        sleep(LOOK).await;
    }
}

/// Tells how far something is, on standard error: on a terminal in one line, else every ten seconds.
#[derive(Debug)]
pub struct Progress {
    what: String,
    begun: Instant,
    told: Option<Instant>,
}

impl Progress {
    /// Begins.
    pub fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), begun: Instant::now(), told: None }
    }

    /// So many of so many.
    pub fn at(&mut self, done: usize, of: usize) {
        let terminal = std::io::stderr().is_terminal();
        let pause = Duration::from_secs(if terminal { 1 } else { 10 });
        if self.told.unwrap_or(self.begun).elapsed() < pause {
            return;
        }
        self.told = Some(Instant::now());
        let (end, seconds) = (if terminal { "\r" } else { "\n" }, self.begun.elapsed().as_secs());
        eprint!("  {}: {done} of {of} ({seconds} s){end}", self.what);
        let _closed = std::io::stderr().flush();
    }

    /// Ends; gives the time that it took.
    pub fn done(self) -> Duration {
        let took = self.begun.elapsed();
        eprintln!("  {}: done ({:.1} s)          ", self.what, took.as_secs_f64());
        took
    }
}
