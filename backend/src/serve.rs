//! The server: it ends when it is told to, after the calls in flight.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use crate::app::Backend;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call in flight was answered.
    All,
    /// Calls were still in flight when the time to drain was over.
    Cut,
}

/// Serves `app` until `shutdown` is ready. Then it takes no new connection, says at `/readyz` that it ends, and
/// waits at most `drain` for the calls in flight.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    backend: Arc<Backend>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> io::Result<Drained> {
    let (stop, stopped) = oneshot::channel::<()>();
    // Who asks is known to the routes.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.map(|()| Drained::All),
        () = shutdown => {}
    }
    tracing::info!(?drain, "shutting down: no new connections, calls in flight are finished");
    backend.drain();
    drop(stop);
    match timeout(drain, server).await {
        Ok(ended) => ended.map(|()| Drained::All),
        Err(_) => Ok(Drained::Cut),
    }
}
