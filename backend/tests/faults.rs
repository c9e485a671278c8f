//! Faults on purpose: by flags of the program, and by `PUT /faults` on real sockets.

mod common;

use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use breakwater_backend::{
    app::{Backend, app},
    faults::Faults,
};
use common::Program;
use tokio::time::Instant;
use tower::ServiceExt;

/// Asks as `peer` would, without a socket.
async fn put(backend: &Arc<Backend>, peer: Option<&str>, body: &str) -> (StatusCode, String) {
    let request = Request::put("/faults").header("content-type", "application/json");
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
    }
    let response = app(Arc::clone(backend)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn data(backend: &Arc<Backend>) -> StatusCode {
    let request = Request::get("/data").body(Body::empty()).unwrap();
    app(Arc::clone(backend)).oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn only_this_machine_may_set_faults_unless_others_are_allowed() {
    let all_fail = r#"{"failRate": 1}"#;
    for (peer, remote, expected) in [
        (Some("127.0.0.1:9"), false, StatusCode::OK),
        (Some("[::1]:9"), false, StatusCode::OK),
        (Some("[::ffff:127.0.0.1]:9"), false, StatusCode::OK),
        (Some("10.0.0.7:9"), false, StatusCode::FORBIDDEN),
        (Some("[::ffff:10.0.0.7]:9"), false, StatusCode::FORBIDDEN),
        (None, false, StatusCode::FORBIDDEN),
        (Some("10.0.0.7:9"), true, StatusCode::OK),
    ] {
        let backend = Arc::new(Backend::new(Faults::default(), remote));
        let (status, said) = put(&backend, peer, all_fail).await;
        assert_eq!(status, expected, "{peer:?} {remote}: {said}");
        let set = expected == StatusCode::OK;
        let answered = if set { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        assert_eq!(data(&backend).await, answered, "{peer:?} {remote}");
        assert!(set || said.contains("--allow-remote-faults"), "{said}");
    }
}

#[tokio::test]
async fn faults_that_are_none_are_refused_and_change_nothing() {
    let backend = Arc::default();
    for (body, said) in [
        (r#"{"failRate": 2}"#, "like 10% or 0.1"),
        (r#"{"latency": "fast"}"#, "like 200ms or 200ms±50ms"),
        (r#"{"rate": 1}"#, "unknown field `rate`"),
        ("fail", r#"write JSON like {"failRate""#),
    ] {
        let (status, text) = put(&backend, Some("127.0.0.1:9"), body).await;
        assert!(status.is_client_error() && text.contains(said), "{body}: {status} {text}");
    }
    assert_eq!(data(&backend).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn calls_are_late_and_all_fail_for_a_time() {
    let faults = Faults { latency: "200ms".parse().ok(), fail_for: Some(Duration::from_secs(15)), ..Faults::default() };
    let backend = Arc::new(Backend::new(faults, false));
    #[allow(clippy::disallowed_methods, reason = "virtual time is measured")]
    let started = Instant::now();
    assert_eq!(data(&backend).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(started.elapsed().as_millis(), 200);
    let (status, said) = put(&backend, Some("127.0.0.1:9"), r#"{"failFor": "1s"}"#).await;
    assert_eq!((status, said.as_str()), (StatusCode::OK, r#"{"failRate":0.0,"latency":null,"failFor":"1s"}"#));
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(data(&backend).await, StatusCode::SERVICE_UNAVAILABLE, "from when it was asked for");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(data(&backend).await, StatusCode::OK);
}

#[tokio::test]
async fn the_program_fails_as_its_flags_say_until_it_is_told_otherwise() {
    let program = Program::start(&["--fail-for", "1h", "--latency", "1ms±1ms"]);
    let status = async || reqwest::get(program.url("/data")).await.unwrap().status();
    assert_eq!(status().await, 503);
    assert_eq!(reqwest::get(program.url("/readyz")).await.unwrap().status(), 200, "only /data fails");
    let http = reqwest::Client::new();
    let answer = http.put(program.url("/faults")).json(&Faults::default()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(status().await, 200);
    let faults: Faults = http.get(program.url("/faults")).send().await.unwrap().json().await.unwrap();
    assert_eq!(faults, Faults::default());
}

#[test]
fn a_wrong_fault_is_refused_with_a_sentence() {
    for (args, said) in [
        (["--fail-rate", "20"], "like 10% or 0.1"),
        (["--latency", "50ms±60ms"], "must not exceed"),
        (["--fail-for", "15"], "with its unit"),
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_breakwater-backend")).args(args).output().unwrap();
        let stderr = String::from_utf8(program.stderr).unwrap();
        assert!(program.status.code() == Some(2) && stderr.contains(said), "{stderr}");
    }
}
