//! The routes, asked without a socket.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use breakwater_backend::app::{Backend, app};
use tower::ServiceExt;

async fn get(backend: &Arc<Backend>, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app(Arc::clone(backend)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn data_is_exactly_what_clients_expect() {
    let backend = Arc::default();
    assert_eq!(get(&backend, "/data").await, (StatusCode::OK, r#"{"message":"Backend Running"}"#.to_owned()));
    assert_eq!(get(&backend, "/nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_is_alive_but_not_ready_while_it_drains() {
    let backend = Arc::<Backend>::default();
    assert_eq!(get(&backend, "/readyz").await.0, StatusCode::OK);
    backend.drain();
    assert_eq!(get(&backend, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&backend, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_code() {
    let backend = Arc::default();
    for path in ["/data", "/data", "/nothing", "/nothing/else"] {
        get(&backend, path).await;
    }
    let (_, text) = get(&backend, "/metrics").await;
    for line in [
        r#"breakwater_backend_http_requests_total{path="/data",code="200"} 2"#,
        r#"breakwater_backend_http_requests_total{path="none",code="404"} 2"#,
        r#"breakwater_backend_http_request_duration_seconds_count{path="/data"} 2"#,
        "breakwater_backend_http_requests_in_flight 1",
        &format!(r#"breakwater_backend_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")),
    ] {
        assert!(text.lines().any(|said| said == line), "{line} in\n{text}");
    }
}
