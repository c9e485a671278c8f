//! Serves a router to whoever comes, without letting them take what the operator needs for its own work.
//!
//! `axum::serve` waits for ever for the end of a request and accepts as many connections as the process has descriptors, and an
//! operator without descriptors reaches no API server. Here a slow request is cut off, and when there are too many connections
//! the oldest goes: a new one has its request with it, and is answered while those that only sit there are pushed out.
#![allow(clippy::disallowed_methods, reason = "the edge: here connections are timed")]

use std::{collections::VecDeque, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// What a visitor may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// From a connection's beginning, or the last answer on it, to the end of a request's head.
    pub head: Duration,
    /// A connection is closed after this time, whatever happens on it.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 128, head: Duration::from_secs(5), lifetime: Duration::from_secs(60) }
    }
}

/// Bytes that a request's head may have.
const HEAD_BYTES: usize = 16 << 10;
/// After `stop` an answer that has begun may take so long.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// When the machine takes no connection (it has no descriptor left), it is asked again after this time.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Answers until `stop`.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    // Oldest first; dropped, a connection is closed.
    let mut connections: VecDeque<(CancellationToken, DropGuard)> = VecDeque::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
                continue;
            }
        };
        connections.retain(|(ended, _)| !ended.is_cancelled());
        while connections.len() >= limits.connections.max(1) {
            connections.pop_front();
        }
        let (close, ended) = (CancellationToken::new(), CancellationToken::new());
        connections.push_back((ended.clone(), close.clone().drop_guard()));
        let (answering, stop) = (answer(stream, app.clone(), limits, stop.clone()), ended.drop_guard());
        tasks.spawn(async move {
            let _ended = stop;
            close.run_until_cancelled(answering).await
        });
    }
    tasks.close();
    tasks.wait().await;
}

/// One connection, to its end.
async fn answer(stream: TcpStream, app: Router, limits: Limits, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let time = tokio::time::timeout(limits.lifetime, stop.cancelled());
    tokio::select! {
        // That a visitor broke off is nobody's trouble.
        _ = connection.as_mut() => return,
        _ = time => connection.as_mut().graceful_shutdown(),
    }
    drop(tokio::time::timeout(LAST_ANSWER, connection).await);
}
