//! The routes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::metrics::Metrics;

/// What the routes share.
#[derive(Debug, Default)]
pub struct Backend {
    metrics: Metrics,
    draining: AtomicBool,
}

impl Backend {
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
        .route("/data", get(async || Json(Data { message: "Backend Running" })))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&backend), measure))
        .with_state(backend)
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

#[allow(clippy::disallowed_methods, reason = "the edge: here requests are timed")]
async fn measure(
    State(backend): State<Arc<Backend>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let in_flight = backend.metrics.enter();
    let method = request.method().clone();
    let response = next.run(request).await;
    drop(in_flight);
    let took = started.elapsed();
    // Paths that are no routes share one label, so that a scan of the service cannot fill the memory.
    let path = path.as_ref().map_or("none", MatchedPath::as_str);
    let code = response.status().as_u16();
    backend.metrics.observe(path, code, took);
    tracing::debug!(%method, path, code, ?took, "request");
    response
}
