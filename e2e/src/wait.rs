//! Waiting for a condition, never for a time.
#![allow(clippy::disallowed_methods, reason = "the edge: here the waiting is done")]

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Looks until `probe` gives something.
///
/// # Errors
/// Where it gives nothing within `limit`, with its last error if it had one.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let last = match probe().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".into(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!("{what}: not within {limit:?} ({last})");
        }
        sleep(LOOK).await;
    }
}
