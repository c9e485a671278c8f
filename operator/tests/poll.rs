//! A poller against clients that tell the truth, lie, or fail; over real sockets on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Query,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use breakwater_breaker::{
    Breaker, Cursor, ManualClock, Now, State,
    wire::{Instance, StatusReport},
};
use breakwater_operator::{
    clock::Clock,
    fetch::Http,
    metrics::Metrics,
    poll::{Endpoint, Heard, Poller},
};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default, serde::Deserialize)]
struct Asked {
    breaker: Option<String>,
    since: Option<Cursor>,
}

/// The status of a breaker that opened, after the cursor that is asked for.
async fn good(Query(asked): Query<Asked>) -> Response {
    let at = |seconds| Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
    let clock = ManualClock::new(at(0));
    let breaker = Breaker::builder("backend").epoch(Uuid::from_u128(1)).clock(clock.clone()).build();
    for second in 1..=3 {
        clock.set(at(second));
        breaker.try_acquire().unwrap().failure("timeout");
    }
    let instance = Instance { epoch: breaker.epoch(), pod_uid: None, started_at: Timestamp::UNIX_EPOCH };
    // As a client with several breakers does: the cursor is that of the one that is asked for.
    if asked.breaker.is_some_and(|name| name != breaker.name()) {
        let error = serde_json::json!({"error": "there is none of that name; write one of backend"});
        return (StatusCode::NOT_FOUND, axum::Json(error)).into_response();
    }
    let breakers = vec![breaker.report(asked.since, at(13)).unwrap()];
    axum::Json(StatusReport { schema: "v1".into(), instance, now: at(13), breakers }).into_response()
}

/// The good answer, with every field of that name changed.
async fn lie(field: &'static str, value: serde_json::Value) -> axum::Json<serde_json::Value> {
    fn change(document: &mut serde_json::Value, field: &str, value: &serde_json::Value) {
        match document {
            serde_json::Value::Object(fields) => {
                for (key, inner) in fields {
                    if key == field { inner.clone_from(value) } else { change(inner, field, value) }
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| change(item, field, value)),
            _ => {}
        }
    }
    let body = axum::body::to_bytes(good(Query::default()).await.into_body(), 1 << 20).await.unwrap();
    let mut document = serde_json::from_slice(&body).unwrap();
    change(&mut document, field, &value);
    axum::Json(document)
}

fn body(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>))
}

/// A byte every half a second, each of them in time.
fn drip() -> impl Stream<Item = Bytes> {
    let tick = tokio::time::interval(Duration::from_millis(500));
    stream::unfold(tick, async |mut tick| {
        tick.tick().await;
        Some((Bytes::from_static(b" "), tick))
    })
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/good", get(good))
        // A client that does not know the question for one breaker tells of all.
        .route("/deaf", get(async || good(Query::default()).await))
        .route("/other-pod", get(|| lie("podUid", serde_json::json!("another"))))
        .route("/newer", get(|| lie("schema", serde_json::json!(format!("v2\u{1b}[31m{}", "é".repeat(1 << 16))))))
        .route("/leaps", get(|| lie("lastSeq", serde_json::json!(u64::MAX))))
        .route("/before-christ", get(|| lie("at", serde_json::json!("-000300-01-01T00:00:00Z"))))
        .route("/moved", get(|| async { Redirect::temporary("/good") }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/text", get(|| async { "all is well\u{1b}[31m" }))
        .route("/huge", get(|| async { ([(header::CONTENT_TYPE, "application/json")], " ".repeat(3 << 20)) }))
        .route("/drip", get(async || body(drip())))
        .route("/endless", get(async || body(stream::repeat_with(|| Bytes::from(vec![b' '; 1 << 16])))))
        // Ten gigabytes of zeros, for whoever unpacks it.
        .route(
            "/bomb",
            get(|| async { ([(header::CONTENT_ENCODING, "gzip")], [31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 237]) }),
        )
        .route("/silent", get(std::future::pending::<()>));
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

/// The first thing that a poller has to say.
async fn hear(address: SocketAddr, path: &str, breaker: &str) -> (Poller, Heard) {
    let (news, mut heard) = mpsc::unbounded_channel();
    let endpoint = Endpoint {
        address,
        path: path.into(),
        pod_uid: "the-pod".into(),
        breaker: breaker.into(),
        interval: Duration::from_millis(100),
    };
    let metrics = Arc::new(Metrics::default());
    let http = Arc::new(Http::new().unwrap());
    let poller = Poller::start(http, Clock::system(), endpoint, metrics, Timestamp::UNIX_EPOCH, move || {
        let _heard_enough = news.send(());
    });
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("it says something").unwrap();
    let said = poller.mailbox.read();
    (poller, said)
}

#[tokio::test]
async fn a_good_answer_is_understood_with_times_by_the_operators_clock() {
    let (poller, said) = hear(serve().await, "/good", "backend").await;
    let report = said.report.expect("it answered");
    assert_eq!((report.state, report.last_seq, report.failures, report.calls), (State::Open, 2, 3, 3));
    assert_eq!(report.transitions.iter().map(|seen| seen.transition.seq).collect::<Vec<_>>(), [1, 2]);
    // It opened ten seconds before it was asked, whatever its wall clock says: 1970.
    let age = said.at.duration_since(report.transitions[1].aligned_at);
    assert!((9_900..12_000).contains(&age.as_millis()), "{age:?}");
    // What is recorded is not asked for again.
    poller.mailbox.recorded(Cursor { epoch: report.epoch, seq: 1 });
    let only_the_newest = async {
        while poller.mailbox.read().report.is_none_or(|report| report.transitions.len() != 1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, only_the_newest).await.expect("the cursor is asked from");
}

#[tokio::test]
async fn what_is_no_answer_is_told_in_words_and_changes_nothing() {
    let address = serve().await;
    for (path, breaker, words) in [
        ("/broken", "backend", "500"),
        ("/deaf", "other", "no breaker named other; it has backend"),
        ("/moved", "backend", "307"),
        ("/text", "backend", "no breaker status"),
        ("/huge", "backend", "longer than"),
        ("/silent", "backend", "no answer within 2s"),
        ("/drip", "backend", "no answer within 2s"),
        ("/endless", "backend", "longer than"),
        ("/bomb", "backend", "no breaker status"),
        ("/other-pod", "backend", "another pod"),
        ("/newer", "backend", "the schema v2"),
        ("/leaps", "backend", "out of range"),
        ("/before-christ", "backend", "out of range"),
        ("/good", "other", "404 Not Found: there is none of that name; write one of backend"),
    ] {
        let (_poller, said) = hear(address, path, breaker).await;
        let error = said.error.expect(path);
        assert!(error.contains(words), "{path}: {error}");
        assert!(!error.contains(char::is_control) && error.chars().count() <= 200, "{path}: {error:?}");
        assert!(said.report.is_none() && said.at == Timestamp::UNIX_EPOCH, "{path}: it was not heard");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_poller, said) = hear(nobody, "/status", "backend").await;
    assert!(said.error.unwrap().contains("refused"));
}

#[tokio::test]
async fn the_api_server_is_not_asked_whatever_a_pod_says_of_its_address() {
    let address = serve().await;
    for (spared, asked) in [("127.0.0.1", false), ("::ffff:127.0.0.1", false), ("10.96.0.1", true)] {
        let http = Http::new().unwrap().sparing(Some(spared.parse().unwrap()));
        let url = reqwest::Url::parse(&format!("http://{address}/good")).unwrap();
        let said = breakwater_operator::fetch::Fetch::fetch(&http, url).await;
        assert_eq!(said.is_ok(), asked, "{spared}: {said:?}");
    }
}
