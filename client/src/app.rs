//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::Html,
    routing::get,
};
use prometheus_client::registry::Registry;

use crate::{
    metrics::{Metrics, text},
    status::{self, Status},
};

/// What the page may do: what stands in it, and ask where it came from.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// The router: `/`, `/status`, `/status/stream`, `/metrics`, `/healthz` and `/readyz`.
///
/// It is ready while a breaker is open, too: the client itself is well.
pub fn app(status: Arc<Status>, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/", get(async || ([(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(include_str!("page.html")))))
        .route("/status", get(status::get))
        .route("/status/stream", get(status::stream))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text(&registry))))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .with_state(status)
}
