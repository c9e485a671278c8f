//! The end by a signal.

use std::{future::Future, io};

use tokio::signal::unix::{SignalKind, signal};

/// A future that is ready at the first SIGTERM or SIGINT.
///
/// # Errors
/// If the signal handlers cannot be installed; they are in place when this returns.
pub fn termination() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
