//! A poller against clients that tell the truth, lie, or fail; over real sockets on loopback.

mod common;

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, Request},
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
    fetch::{ANSWER_BYTES, Fetch, Http},
    metrics::Metrics,
    operator::Outside,
    places::Places,
    poll::{Asking, Endpoint, Heard, Poller},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::{Stream, stream};
use jiff::Timestamp;
use reqwest::Url;
use tokio::{net::TcpListener, sync::mpsc, time::MissedTickBehavior};
use uuid::Uuid;

use common::{body, peak};

const PATIENCE: Duration = Duration::from_secs(10);
/// What the bomb has when it is unpacked.
const UNPACKED: usize = 128 << 20;
/// What no answer may take of the operator's memory.
const MEMORY: usize = 10 << 20;
/// Bytes that an endless answer sends at a time.
const CHUNK: usize = 1 << 14;

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
    let mut document = serde_json::from_slice(&good_bytes().await).unwrap();
    change(&mut document, field, &value);
    axum::Json(document)
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
        .route("/drip", get(async || body(drip())))
        .route("/endless", get(async || body(stream::repeat_with(|| Bytes::from(vec![b' '; 1 << 16])))))
        .route("/silent", get(std::future::pending::<()>));
    common::serve(app).await
}

fn url(address: SocketAddr, path: &str) -> Url {
    Url::parse(&format!("http://{address}{path}")).unwrap()
}

/// The good answer as it is on the wire.
async fn good_bytes() -> Vec<u8> {
    axum::body::to_bytes(good(Query::default()).await.into_body(), 1 << 20).await.unwrap().to_vec()
}

/// The first thing that a poller has to say.
async fn hear(address: SocketAddr, path: &str, breaker: &str) -> (Poller, Heard) {
    let (news, mut heard) = mpsc::unbounded_channel();
    let interval = Duration::from_millis(100);
    let endpoint =
        Endpoint { address, path: path.into(), pod_uid: "the-pod".into(), breaker: breaker.into(), interval };
    let metrics = Arc::new(Metrics::default());
    let http = Arc::new(Http::new().unwrap());
    let asking = Asking { fetch: http, places: Places::default().of("shop"), clock: Clock::system(), metrics };
    let poller = Poller::start(asking, endpoint, Timestamp::UNIX_EPOCH, move || {
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
        ("/silent", "backend", "no answer within 2s"),
        ("/drip", "backend", "no answer within 2s"),
        ("/endless", "backend", "longer than"),
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
    // As `main` puts it together, and as Kubernetes says it to every pod.
    for (host, asked) in [
        (Some("127.0.0.1"), false),
        (Some("::ffff:127.0.0.1"), false),
        (Some("10.96.0.1"), true),
        (Some("localhost"), false),
        (Some("no name of a host"), true),
        (None, true),
    ] {
        let variable = |name: &str| host.filter(|_| name == "KUBERNETES_SERVICE_HOST").map(String::from);
        let cluster = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let outside = Outside::new(cluster, Arc::new(Metrics::default()), variable).unwrap();
        let said = outside.fetch.fetch(url(address, "/good")).await;
        let refused = said.as_ref().is_err_and(|why| why.contains("is the API server's address"));
        assert_eq!((said.is_ok(), refused), (asked, !asked), "{host:?}: {said:?}");
    }
}

#[tokio::test]
async fn reading_ends_where_an_answer_is_too_long() {
    let good = good_bytes().await;
    let padded = async |length: usize| {
        let mut body = good.clone();
        body.resize(length, b' ');
        let address = common::serve(Router::new().route("/", get(async || body))).await;
        Http::new().unwrap().fetch(url(address, "/")).await
    };
    assert_eq!(padded(ANSWER_BYTES).await.map(|body| body.len()), Ok(ANSWER_BYTES));
    assert!(padded(ANSWER_BYTES + 1).await.unwrap_err().contains("longer than"));
    // A terabyte that is announced, and one that is not.
    for announced in [Some("1099511627776"), None] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let endless = async move || {
            // At a pace at which it shows when reading ends; faster, the sockets' buffers would take megabytes.
            let mut pace = tokio::time::interval(Duration::from_millis(1));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let chunks = stream::unfold(pace, move |mut pace| {
                count.fetch_add(CHUNK, Ordering::SeqCst);
                async move {
                    pace.tick().await;
                    Some((Bytes::from(vec![b' '; CHUNK]), pace))
                }
            });
            let mut answer = body(chunks).into_response();
            announced.map(|length| answer.headers_mut().insert(header::CONTENT_LENGTH, length.parse().unwrap()));
            answer
        };
        let address = common::serve(Router::new().route("/", get(endless))).await;
        let asked = tokio::time::timeout(PATIENCE, Http::new().unwrap().fetch(url(address, "/"))).await;
        assert!(asked.expect("it ends").unwrap_err().contains("longer than"), "{announced:?}");
        let taken = taken.load(Ordering::SeqCst);
        assert!((ANSWER_BYTES..2 * ANSWER_BYTES).contains(&taken), "{announced:?}: {taken} bytes were sent");
    }
}

/// A good answer with very many spaces behind it, which is as good for whoever unpacks it.
fn bomb(good: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(good).unwrap();
    io::copy(&mut io::repeat(b' ').take((UNPACKED - good.len()) as u64), &mut packed).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    let good = good_bytes().await;
    let bomb = bomb(&good);
    assert!(bomb.len() < ANSWER_BYTES, "{} bytes: it is to be read whole", bomb.len());
    let unpacked = io::copy(&mut GzDecoder::new(&bomb[..]), &mut io::sink()).unwrap();
    assert_eq!(unpacked as usize, UNPACKED, "it is a true one");
    let packed = Bytes::from(bomb);
    let json = (header::CONTENT_TYPE, "application/json");
    let app = Router::new().route("/", get(async move || ([json, (header::CONTENT_ENCODING, "gzip")], packed)));
    let address = common::serve(app).await;
    let before = peak();
    let (_poller, said) = hear(address, "/", "backend").await;
    assert!(said.report.is_none(), "it was understood");
    assert!(said.error.as_ref().unwrap().contains("no breaker status"), "{:?}", said.error);
    let more = peak() - before;
    assert!(more < MEMORY, "{more} bytes of memory");
}

#[tokio::test]
async fn a_question_has_nothing_that_it_does_not_need() {
    let (sent, mut asked) = mpsc::unbounded_channel();
    // Whoever asks for a password, or hands out a cookie, gets neither.
    let answer = async move |query: Query<Asked>, request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        sent.send((parts, body)).unwrap();
        let wants = [(header::SET_COOKIE, "session=1; Path=/"), (header::WWW_AUTHENTICATE, "Basic realm=\"shop\"")];
        let code = if query.since.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        (wants, (code, good(query).await.into_body())).into_response()
    };
    let address = common::serve(Router::new().route("/status", axum::routing::any(answer))).await;
    let (_poller, _) = hear(address, "/status", "backend").await;
    for number in 0..4 {
        let (parts, body) = tokio::time::timeout(PATIENCE, asked.recv()).await.expect("it asks again").unwrap();
        assert_eq!((parts.method.as_str(), parts.uri.path(), body.len()), ("GET", "/status", 0));
        let query = parts.uri.query().unwrap();
        let cursor = "&since=00000000-0000-0000-0000-000000000001%3A2";
        assert_eq!(query, format!("breaker=backend{}", if number > 0 { cursor } else { "" }));
        let names: BTreeSet<_> = parts.headers.keys().map(header::HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "host", "user-agent"].into(), "{:?}", parts.headers);
        let value = |name: &str| parts.headers[name].to_str().unwrap().to_string();
        let agent = concat!("breakwater/", env!("CARGO_PKG_VERSION"));
        assert_eq!([value("accept"), value("host"), value("user-agent")], ["*/*", &address.to_string(), agent]);
    }
}

/// The good answer, with another value here.
fn with(good: &serde_json::Value, place: &str, value: serde_json::Value) -> String {
    let mut document = good.clone();
    *document.pointer_mut(place).unwrap_or_else(|| panic!("there is no {place}")) = value;
    document.to_string()
}

#[tokio::test]
async fn of_an_answer_that_does_not_fit_nothing_is_taken() {
    let good: serde_json::Value = serde_json::from_slice(&good_bytes().await).unwrap();
    // Were anything of it taken, it would show.
    let mut worse = with(&good, "/breakers/0/consecutiveFailures", 77.into());
    worse = with(&serde_json::from_str(&worse).unwrap(), "/breakers/0/transitions/lastSeq", 99.into());
    let lie = serde_json::from_str(&worse).unwrap();
    let at = |place: &str, value: serde_json::Value| with(&lie, place, value);
    let instead = |this: &str, that: &str| {
        assert!(worse.contains(this), "there is no {this} in {worse}");
        worse.replacen(this, that, 1)
    };
    let (deep, deeper) = ("[".repeat(200) + &"]".repeat(200), "[".repeat(100_000) + &"]".repeat(100_000));
    for (bad, words) in [
        (at("/now/monoNanos", "13".into()), "invalid type"),
        (at("/breakers/0/state", 1.into()), "expected"),
        (at("/breakers/0/state", "open".into()), "unknown variant"),
        (at("/breakers/0/calls/permitted", serde_json::json!(null)), "invalid type"),
        (at("/breakers/0/calls/permitted", serde_json::json!(3.0)), "invalid type"),
        (at("/breakers/0/transitions/items", serde_json::json!({})), "invalid type"),
        (at("/breakers/0/calls/failure", (-1).into()), "invalid value"),
        (at("/breakers/0/transitions/lastSeq", (-1).into()), "invalid value"),
        (at("/breakers/0/transitions/items/0/seq", u64::MAX.into()), "out of range"),
        (at("/breakers/0/calls/notPermitted", u64::MAX.into()), "out of range"),
        (at("/breakers/0/consecutiveFailures", (1_u64 << 63).into()), "out of range"),
        (instead("\"lastSeq\":99", "\"lastSeq\":18446744073709551616"), "invalid type"),
        (instead("\"lastSeq\":99", "\"lastSeq\":99,\"lastSeq\":2"), "duplicate field"),
        (instead("\"state\":\"Open\"", "\"state\":\"Open\",\"state\":\"Closed\""), "duplicate field"),
        (instead("\"lastSeq\":99,", ""), "missing field"),
        (instead("\"kind\":\"Started\"", &format!("\"kind\":\"Started\",\"more\":{deep}")), "recursion limit"),
        (deep.clone(), "no breaker status"),
        (deeper.clone(), "no breaker status"),
        (format!("{worse} x"), "trailing characters"),
        (worse.repeat(2), "trailing characters"),
        (format!("{worse}\0"), "trailing characters"),
        (format!("\u{feff}{worse}"), "expected value"),
        (worse[..worse.len() - 1].into(), "EOF"),
        (String::new(), "EOF"),
    ] {
        let (sent, mut asked) = mpsc::unbounded_channel();
        let answer = Arc::new(Mutex::new(good.to_string()));
        let says = answer.clone();
        let app = Router::new().route(
            "/",
            get(async move |Query(query): Query<Asked>| {
                sent.send(query.since.map(|cursor| cursor.seq)).unwrap();
                says.lock().unwrap().clone()
            }),
        );
        let (poller, said) = hear(common::serve(app).await, "/", "backend").await;
        assert!(said.report.is_some() && said.error.is_none(), "{said:?}");
        answer.lock().unwrap().clone_from(&bad);
        let refused = async {
            while poller.mailbox.read().error.is_none() {
                asked.recv().await;
            }
            // It is asked once more from where it was.
            while asked.try_recv().is_ok() {}
            asked.recv().await.unwrap()
        };
        let shown = &bad[..bad.len().min(2000)];
        let since = tokio::time::timeout(PATIENCE, refused).await.unwrap_or_else(|_| panic!("it is taken: {shown}"));
        let said = poller.mailbox.read();
        let (error, report) = (said.error.unwrap(), said.report.unwrap());
        assert!(error.contains(words), "{error}: {shown}");
        assert_eq!((report.failures, report.last_seq, report.state, since), (3, 2, State::Open, Some(2)), "{shown}");
    }
    // What a newer client adds is passed over, however it looks, and so is space around it.
    let newer = instead("{", &format!("{{\"tomorrow\":{deeper},\"again\":1,\"again\":2,"));
    let app = Router::new().route("/", get(async move || format!("\r\n\t {newer} \n")));
    let (_poller, said) = hear(common::serve(app).await, "/", "backend").await;
    assert_eq!(said.report.map(|report| (report.failures, report.last_seq)), Some((77, 99)), "{:?}", said.error);
}
