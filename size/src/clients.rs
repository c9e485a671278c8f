//! Clients by the thousand: each a real breaker that calls its target, and a status endpoint.
#![allow(clippy::disallowed_methods, reason = "the edge: here clients live by the clock")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use breakwater_breaker::{
    Breaker, Clock, Cursor, OpenTime, Policy, Settings, SystemClock,
    wire::{Instance, SCHEMA, StatusReport},
};
use jiff::Timestamp;
use tokio::{net::TcpListener, time::sleep};
use uuid::Uuid;

/// Between two calls of a client.
const CALL_EVERY: Duration = Duration::from_millis(500);
/// A breaker stays open for so long: longer than the outages, so that a replacement that serves for a moment closes none.
const OPEN_FOR: Duration = Duration::from_secs(8);
/// Where all of them listen.
pub const PORT: u16 = 8080;

/// All clients, by the number of their experiment.
#[derive(Clone, Default)]
pub struct Clients(Arc<Mutex<HashMap<usize, Arc<Client>>>>);

/// A client.
struct Client {
    breaker: Breaker,
    clock: SystemClock,
    uid: String,
    started: Timestamp,
    /// Pods of its target that serve.
    serving: AtomicUsize,
}

impl Clients {
    /// Starts to listen and to call.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start() -> Result<Self> {
        let clients = Self::default();
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let app = Router::new().route("/status/{number}", get(answer)).with_state(clients.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let all = clients.clone();
        tokio::spawn(async move {
            loop {
                let now: Vec<_> = all.lock().values().cloned().collect();
                now.iter().for_each(|client| client.call());
                sleep(CALL_EVERY).await;
            }
        });
        Ok(clients)
    }

    /// The client of an experiment, in the pod of this uid.
    pub fn add(&self, number: usize, uid: &str) {
        let clock = SystemClock::start();
        let settings =
            Settings::default().with_policy(Policy::consecutive_failures(3)).with_open_time(OpenTime::fixed(OPEN_FOR));
        let breaker = Breaker::builder("backend").settings(settings).epoch(Uuid::new_v4()).clock(clock).build();
        let (uid, started, serving) = (uid.into(), Timestamp::now(), AtomicUsize::new(0));
        self.lock().insert(number, Arc::new(Client { breaker, clock, uid, started, serving }));
    }

    /// A pod of its target serves from now on, or does not any more.
    pub fn target(&self, number: usize, serves: bool) {
        if let Some(client) = self.lock().get(&number) {
            if serves {
                client.serving.fetch_add(1, Ordering::SeqCst);
            } else {
                client.serving.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// They are gone.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Arc<Client>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn call(&self) {
        self.breaker.tick();
        let Ok(permit) = self.breaker.try_acquire() else { return };
        if self.serving.load(Ordering::SeqCst) > 0 {
            permit.success();
        } else {
            permit.failure("connection refused");
        }
    }
}

async fn answer(
    State(clients): State<Clients>,
    Path(number): Path<usize>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let Some(client) = clients.lock().get(&number).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let since = query.get("since").and_then(|since| since.parse::<Cursor>().ok());
    let now = client.clock.now();
    let Ok(report) = client.breaker.report(since, now) else { return StatusCode::BAD_REQUEST.into_response() };
    let epoch = client.breaker.epoch();
    let instance = Instance { epoch, pod_uid: Some(client.uid.clone()), started_at: client.started };
    Json(StatusReport { schema: SCHEMA.to_owned(), instance, now, breakers: vec![report] }).into_response()
}
