//! Hundreds of client replicas of one namespace that send all they can: what the operator keeps of it stays small, and other
//! namespaces' clients are asked as ever. A program of its own, as it looks at the memory of the whole process.
#![allow(
    clippy::disallowed_methods,
    reason = "the edge: processes of their own, and how often one is asked in how long"
)]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    routing::get,
};
use breakwater_breaker::{
    Cause, Now, State, Transition,
    wire::{Instance, StatusReport},
};
use breakwater_operator::{
    clock::Clock,
    fetch::{ANSWER_BYTES, Http},
    metrics::Metrics,
    places::Places,
    poll::{Asking, Endpoint, Poller},
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use uuid::Uuid;

use common::{body, peak, serve};

const PATIENCE: Duration = Duration::from_secs(60);
/// Replicas of each kind: several experiments' worth.
const REPLICAS: usize = 100;
/// What all of them together may make the operator take. Each sends half a megabyte, and as many are asked at a time as there are places.
const MEMORY: usize = 80 << 20;
/// What a head has that is not quite too long yet for who reads it.
const HEAD: usize = 390 << 10;

/// A full record by a process that nobody has heard before, with words as long as they fit.
async fn full() -> Json<StatusReport> {
    let at = Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(9));
    let breaker = breakwater_breaker::Breaker::builder("backend").build();
    let mut report = breaker.report(None, at).expect("there is no cursor to be wrong");
    let cause = Cause::Other { kind: "\u{1F40B}".repeat(80) };
    report.transitions.items = (1..=1000)
        .map(|seq| Transition {
            seq,
            from: Some(State::Open),
            to: State::Closed,
            at: Timestamp::UNIX_EPOCH,
            mono_nanos: seq,
            cause: cause.clone(),
        })
        .collect();
    report.transitions.last_seq = 1000;
    let instance = Instance { epoch: Uuid::new_v4(), pod_uid: None, started_at: Timestamp::UNIX_EPOCH };
    Json(StatusReport { schema: "v1".into(), instance, now: at, breakers: vec![report] })
}

/// All that an answer may have, and then nothing any more.
async fn unfinished() -> Body {
    static PIECE: [u8; 1 << 14] = [b' '; 1 << 14];
    let pieces = stream::iter((1..ANSWER_BYTES / PIECE.len()).map(|_| Bytes::from_static(&PIECE)));
    body(pieces.chain(stream::pending()))
}

/// A head without an end.
async fn serve_heads() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let head: Arc<[u8]> = [b"HTTP/1.1 200 OK\r\nX-Long: ".as_slice(), &vec![b'x'; HEAD]].concat().into();
        while let Ok((mut socket, _)) = listener.accept().await {
            let head = head.clone();
            tokio::spawn(async move {
                let mut question = [0; 1024];
                let _ = socket.read(&mut question).await;
                let _ = socket.write_all(&head).await;
                // Up to where whoever asks has gone.
                while socket.read(&mut question).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_clients_send_all_they_can_waits_for_itself_alone() {
    let questions = Arc::new(AtomicUsize::new(0));
    let asked = questions.clone();
    let app = Router::new().route("/full", get(full)).route("/unfinished", get(unfinished)).route(
        "/honest",
        get(async move || {
            asked.fetch_add(1, Ordering::SeqCst);
            full().await
        }),
    );
    let (address, heads) = (serve(app).await, serve_heads().await);
    let (places, http, metrics) = (Places::default(), Arc::new(Http::new().unwrap()), Arc::new(Metrics::default()));
    let start = |namespace: &str, address: SocketAddr, path: &str| {
        let (pod_uid, breaker, interval) = ("a-pod".into(), "backend".into(), Duration::from_millis(100));
        let endpoint = Endpoint { address, path: path.into(), pod_uid, breaker, interval };
        let (fetch, places, metrics) = (http.clone(), places.of(namespace), metrics.clone());
        let asking = Asking { fetch, places, clock: Clock::system(), metrics };
        Poller::start(asking, endpoint, Timestamp::UNIX_EPOCH, || ())
    };
    let honest = start("shop", address, "/honest");
    wait(|| honest.mailbox.read().report.is_some(), "the first answer").await;
    let before = peak();
    let unfinished: Vec<_> = (0..REPLICAS).map(|_| start("hostile", address, "/unfinished")).collect();
    let headless: Vec<_> = (0..REPLICAS).map(|_| start("hostile", heads, "/")).collect();
    let full: Vec<_> = (0..REPLICAS).map(|_| start("hostile", address, "/full")).collect();
    let (begun, since) = (questions.load(Ordering::SeqCst), std::time::Instant::now());
    wait(|| full.iter().all(|poller| poller.mailbox.read().report.is_some()), "all full records").await;
    let all = || unfinished.iter().chain(&headless);
    wait(|| all().all(|poller| poller.mailbox.read().error.is_some()), "all who answered by halves").await;
    let (asked, took, more) = (questions.load(Ordering::SeqCst) - begun, since.elapsed(), peak() - before);
    println!("{} MiB more, and the neighbour was asked {asked} times in {took:.1?}", more >> 20);
    assert!(more < MEMORY, "{more} bytes of memory");
    assert!(asked as f64 > took.as_secs_f64(), "the neighbour was asked {asked} times in {took:?}");
}

async fn wait(condition: impl Fn() -> bool, what: &str) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let met = async {
        while !condition() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}
