//! The routes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, MatchedPath, Request, State, rejection::JsonRejection},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    faults::{Fault, Faults, Switches},
    metrics::Metrics,
};

/// What the routes share.
#[derive(Debug)]
pub struct Backend {
    metrics: Metrics,
    draining: AtomicBool,
    started: Instant,
    switches: Switches,
    /// `/faults` may be used from anywhere, and not from this machine alone.
    remote_faults: bool,
}

impl Default for Backend {
    fn default() -> Self {
        Self::new(Faults::default(), false)
    }
}

impl Backend {
    /// A backend with these faults from now on; with `remote_faults` others than this machine may change them.
    #[allow(clippy::disallowed_methods, reason = "the edge: here its time begins")]
    pub fn new(faults: Faults, remote_faults: bool) -> Self {
        let switches = Switches::default();
        switches.set(faults, Duration::ZERO);
        let (metrics, draining) = (Metrics::default(), AtomicBool::default());
        Self { metrics, draining, started: Instant::now(), switches, remote_faults }
    }

    /// From now on `/readyz` says no: the service is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// The answer of `/data`.
#[derive(Serialize)]
struct Data {
    message: &'static str,
}

/// The router.
///
/// ```
/// use std::sync::Arc;
/// use axum::{body::Body, http::{Request, StatusCode}};
/// use breakwater_backend::app::{Backend, app};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let request = Request::get("/data").body(Body::empty()).unwrap();
/// let response = app(Arc::new(Backend::default())).oneshot(request).await.unwrap();
/// assert_eq!(response.status(), StatusCode::OK);
/// # }
/// ```
pub fn app(backend: Arc<Backend>) -> Router {
    Router::new()
        .route("/data", get(data))
        .route("/faults", get(faults).put(set_faults))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&backend), measure))
        .with_state(backend)
}

#[allow(clippy::disallowed_methods, reason = "the edge: here calls are late on purpose")]
async fn data(State(backend): State<Arc<Backend>>) -> Response {
    let Fault { delay, fails } = backend.switches.draw(backend.started.elapsed(), fastrand::f64);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if fails {
        return (StatusCode::SERVICE_UNAVAILABLE, "failed on purpose\n").into_response();
    }
    Json(Data { message: "Backend Running" }).into_response()
}

async fn faults(State(backend): State<Arc<Backend>>, request: Request) -> Response {
    match backend.refuse(&request) {
        Some(refusal) => refusal,
        None => Json(backend.switches.get(backend.started.elapsed())).into_response(),
    }
}

async fn set_faults(State(backend): State<Arc<Backend>>, request: Request) -> Response {
    if let Some(refusal) = backend.refuse(&request) {
        return refusal;
    }
    match axum::RequestExt::extract::<Json<Faults>, _>(request).await.map_err(said) {
        Ok(Json(faults)) => {
            tracing::info!(?faults, "faults are set");
            backend.switches.set(faults, backend.started.elapsed());
            Json(faults).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

impl Backend {
    /// Whoever could let calls fail could as well stop the service: others than this machine may only if that is allowed.
    fn refuse(&self, request: &Request) -> Option<Response> {
        let peer =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let allowed = self.remote_faults || peer.is_some_and(|ip| ip.is_loopback());
        let said = "/faults is for this machine alone; start the backend with --allow-remote-faults to open it\n";
        (!allowed).then(|| (StatusCode::FORBIDDEN, said).into_response())
    }
}

fn said(rejection: JsonRejection) -> (StatusCode, String) {
    let example = r#"write JSON like {"failRate": "10%", "latency": "200ms±50ms", "failFor": "15s"}"#;
    (rejection.status(), format!("{}; {example}\n", rejection.body_text()))
}

async fn readyz(State(backend): State<Arc<Backend>>) -> (StatusCode, &'static str) {
    if backend.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(backend): State<Arc<Backend>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], backend.metrics.encode())
}

async fn measure(
    State(backend): State<Arc<Backend>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = backend.started.elapsed();
    let in_flight = backend.metrics.enter();
    let method = request.method().clone();
    let response = next.run(request).await;
    drop(in_flight);
    let took = backend.started.elapsed().saturating_sub(started);
    // Paths that are no routes share one label, so that a scan of the service cannot fill the memory.
    let path = path.as_ref().map_or("none", MatchedPath::as_str);
    let code = response.status().as_u16();
    backend.metrics.observe(path, code, took);
    tracing::debug!(%method, path, code, ?took, "request");
    response
}
