//! The routes.

use std::sync::Arc;

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use prometheus_client::registry::Registry;

use crate::{
    metrics::{Metrics, text},
    status::{self, Status},
};

/// The router: `/status`, `/metrics`, `/healthz` and `/readyz`.
///
/// It is ready while the breaker is open, too: the client itself is well.
pub fn app(status: Arc<Status>, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/status", get(status::get))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text(&registry))))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .with_state(status)
}
