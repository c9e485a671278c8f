//! Health and metrics over HTTP.

use std::sync::Arc;

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// What Prometheus reads; OpenMetrics 1.0, as prometheus-client writes it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz`: the process runs. `/readyz`: it knows the experiments and is not ending. `/metrics`: what it counts.
pub fn app(metrics: Arc<Metrics>, ready: watch::Receiver<bool>) -> Router {
    let readiness = move || {
        let answer = if *ready.borrow() {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: the list of experiments has not arrived, or the operator is ending\n",
            )
        };
        std::future::ready(answer)
    };
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(readiness)).route(
        "/metrics",
        get(move || async move { ([("content-type", OPEN_METRICS)], metrics.text()).into_response() }),
    )
}
