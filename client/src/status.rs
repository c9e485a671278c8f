//! `GET /status`: the breaker and its transitions after a cursor, at once or at the first new one.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use breakwater_breaker::{
    Breaker, Cursor, CursorAhead,
    wire::{Instance, SCHEMA, StatusReport},
};
use breakwater_service::duration;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// A `wait` that is longer is cut to this: proxies and readers give up on connections that are silent for a minute.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// What `/status` tells of.
#[derive(Debug)]
pub struct Status {
    instance: Instance,
    clock: Clock,
    breaker: Arc<Breaker>,
    /// Number of the newest transition, as the breaker's listener tells it.
    newest: watch::Receiver<u64>,
    /// Number of the newest transition that an answer held; 0 before the first answer.
    seen: watch::Sender<u64>,
    release: CancellationToken,
}

/// The query as it came.
#[derive(Debug, Deserialize)]
pub struct StatusQuery {
    since: Option<String>,
    wait: Option<String>,
}

impl Status {
    /// Tells of `breaker`; `newest` must hold the number of its newest transition.
    pub fn new(instance: Instance, clock: Clock, breaker: Arc<Breaker>, newest: watch::Receiver<u64>) -> Self {
        let seen = watch::Sender::new(0);
        Self { instance, clock, breaker, newest, seen, release: CancellationToken::new() }
    }

    /// The report after `since`; at the first transition after it, or when `wait` is over.
    ///
    /// # Errors
    /// [`CursorAhead`] if `since` is newer than the newest transition.
    pub async fn report(&self, since: Option<Cursor>, wait: Duration) -> Result<StatusReport, CursorAhead> {
        let mut newest = self.newest.clone();
        let first = self.copy(since)?;
        let unchanged = first.breakers.iter().all(|breaker| breaker.transitions.items.is_empty());
        let report = match since {
            Some(since) if unchanged && !wait.is_zero() => {
                tokio::select! {
                    _ = timeout(wait.min(MAX_WAIT), newest.wait_for(|newest| *newest > since.seq)) => {}
                    () = self.release.cancelled() => {}
                }
                self.copy(Some(since))?
            }
            _ => first,
        };
        for breaker in &report.breakers {
            self.seen.send_modify(|seen| *seen = (*seen).max(breaker.transitions.last_seq));
        }
        Ok(report)
    }

    fn copy(&self, since: Option<Cursor>) -> Result<StatusReport, CursorAhead> {
        let now = self.clock.now();
        let breaker = self.breaker.report(since, now)?;
        Ok(StatusReport { schema: SCHEMA.to_owned(), instance: self.instance.clone(), now, breakers: vec![breaker] })
    }

    /// Has every poll answer at once, from now on.
    pub fn release(&self) {
        self.release.cancel();
    }

    /// Waits until an answer held the newest transition; returns at once if nobody ever asked.
    pub async fn all_seen(&self) {
        let newest = *self.newest.borrow();
        let mut seen = self.seen.subscribe();
        // The sender lives as long as `self`: this cannot fail.
        let _ = seen.wait_for(|seen| *seen == 0 || *seen >= newest).await;
    }
}

/// A sentence that says what to write instead.
#[derive(Debug, Serialize)]
struct Refusal {
    error: String,
}

fn refuse(error: String) -> Response {
    (StatusCode::BAD_REQUEST, Json(Refusal { error })).into_response()
}

/// Answers `GET /status?since=EPOCH:SEQ&wait=25s`; both are optional.
pub async fn get(State(status): State<Arc<Status>>, query: Result<Query<StatusQuery>, QueryRejection>) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return refuse(format!("{}; write ?since=EPOCH:SEQ&wait=25s", error.body_text())),
    };
    let since = match query.since.as_deref().map(str::parse::<Cursor>).transpose() {
        Ok(since) => since,
        Err(error) => return refuse(format!("since: {error}")),
    };
    let wait = match query.wait.as_deref().map(duration::parse).transpose() {
        Ok(wait) => wait.unwrap_or(Duration::ZERO),
        Err(error) => return refuse(format!("wait: {error}")),
    };
    match status.report(since, wait).await {
        Ok(report) => ([(CACHE_CONTROL, "no-store")], Json(report)).into_response(),
        Err(ahead) => refuse(format!("since: {ahead}")),
    }
}
