//! Traces, as a receiver of OTLP gets them from the program.

mod common;

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use common::{PATIENCE, TestBackend, program::Program};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use tokio::{net::TcpListener, time::timeout};

/// What came, and of which service.
type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A receiver of OTLP over HTTP.
async fn receiver() -> (String, Received) {
    let received = Received::default();
    let take = async |State(received): State<Received>, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        received.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&received));
    tokio::spawn(axum::serve(listener, app).into_future());
    (url, received)
}

fn spans(received: &Received) -> Vec<Span> {
    let received = received.lock().unwrap();
    let resources = received.iter().flat_map(|request| &request.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &AnyValue| match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    span.attributes.iter().map(|pair| (pair.key.as_str(), text(pair.value.as_ref().unwrap()))).collect()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The test waits for the program on a thread of its own; the receiver answers on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_its_attempts_and_the_breakers_decisions_are_one_trace_that_the_backend_goes_on_with() {
    let backend = TestBackend::start();
    let (url, received) = receiver().await;
    let mut program =
        Program::start(&backend.url(), &["--attempts", "2", "--retry-base", "1ms", "--traces-endpoint", &url]);
    program.until("Success: {");
    backend.answer(503);
    program.until("Circuit open... skipping call");
    assert_eq!(program.terminate(), Some(0));

    let spans = spans(&received);
    let child_of = |parent: &Span, name: &str| -> Vec<&Span> {
        let children = spans.iter().filter(|span| span.parent_span_id == parent.span_id && span.name == name);
        children.inspect(|span| assert_eq!(span.trace_id, parent.trace_id)).collect()
    };
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "call backend").collect();
    let with = |outcome: &str| calls.iter().find(|call| attributes(call)["call.outcome"] == outcome).copied();

    let answered = with("success").expect("a call that was answered");
    let [attempt] = child_of(answered, "attempt")[..] else { panic!("one attempt") };
    let [request] = child_of(attempt, "GET")[..] else { panic!("one request") };
    assert!(answered.parent_span_id.is_empty() && ![answered, attempt, request].into_iter().any(failed));
    let said = attributes(attempt);
    assert_eq!((said["breaker.decision"].as_str(), said["breaker.state"].as_str()), ("permitted", "Closed"));
    assert_eq!(request.kind(), SpanKind::Client);
    let said = attributes(request);
    assert_eq!((said["http.response.status_code"].as_str(), said["http.request.method"].as_str()), ("200", "GET"));
    assert_eq!(
        (said["url.full"].as_str(), said["server.port"].as_str()),
        (backend.url().as_str(), &*backend.address.port().to_string())
    );
    let parent = format!("00-{}-{}-01", hex(&request.trace_id), hex(&request.span_id));
    assert!(backend.traceparents().contains(&parent), "{parent} in {:?}", backend.traceparents());

    let retried = with("failure").expect("a call that failed");
    let attempts = child_of(retried, "attempt");
    assert!(
        failed(retried)
            && attempts.iter().all(|attempt| failed(attempt) && attributes(attempt)["error.type"] == "status 503")
    );
    let numbers: Vec<_> = attempts.iter().map(|attempt| attributes(attempt)["attempt.number"].clone()).collect();
    assert_eq!(numbers, ["0", "1"]);

    let refused = with("not_permitted").expect("a call that was refused");
    let [attempt] = child_of(refused, "attempt")[..] else { panic!("one attempt") };
    let said = attributes(attempt);
    assert_eq!((said["breaker.decision"].as_str(), said["breaker.state"].as_str()), ("refused", "Open"));
    assert!(child_of(attempt, "GET").is_empty(), "nothing was sent");

    let received = received.lock().unwrap();
    let resource = received[0].resource_spans[0].resource.as_ref().unwrap();
    assert!(resource.attributes.iter().any(|pair| pair.key == "service.name"), "{resource:?}");
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_handed_on_and_no_line_tells_of_spans() {
    let backend = TestBackend::start();
    let mut program = Program::start(&backend.url(), &[]);
    let lines = program.until("Success: {");
    assert_eq!(program.terminate(), Some(0));
    assert_eq!(backend.traceparents(), [""]);
    assert!(!lines.last().unwrap().contains("attempt"), "{lines:?}");
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_up_neither_calls_nor_the_end() {
    let backend = TestBackend::start();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let mut program = Program::start(&backend.url(), &["--traces-endpoint", &endpoint]);
    for _ in 0..3 {
        program.until("Success: {");
    }
    let ended = tokio::task::spawn_blocking(move || program.terminate());
    assert_eq!(timeout(PATIENCE, ended).await.expect("it ends").unwrap(), Some(0));
}

#[test]
fn an_endpoint_that_is_no_url_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater-client"));
    let output =
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317").stdout(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
