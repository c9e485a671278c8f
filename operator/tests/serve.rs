//! The operator's own endpoints under visitors that mean no good; over real sockets on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use breakwater_operator::{
    admin,
    metrics::Metrics,
    serve::{Limits, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start(limits: Limits) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let app = admin::app(Arc::new(Metrics::default()), watch::channel(true).1);
    let served = tokio::spawn(serve(listener, app, limits, stop.clone()));
    (address, stop, served)
}

/// The whole of what is answered to these bytes, until the server closes.
async fn ask(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        while let Ok(1..) = stream.read_buf(&mut answer).await {}
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(PATIENCE, exchange).await.expect("an answer and an end")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")
}

/// Whether the server has closed a connection on which nothing was asked.
async fn closes(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, async { while let Ok(1..) = stream.read_buf(&mut rest).await {} }).await.is_ok()
}

#[tokio::test]
async fn every_endpoint_answers_get_and_its_head_and_nothing_else() {
    let (address, ..) = start(Limits::default()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(ask(address, &get(path)).await.starts_with("HTTP/1.1 200"), "{path}");
        // HEAD is GET without the body, and as harmless.
        let head = ask(address, &get(path).replace("GET", "HEAD")).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{path}: {head}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let answer = ask(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 405"), "{method} {path}: {answer}");
        }
    }
    assert!(ask(address, &get("/")).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn large_requests_are_not_read() {
    let (address, ..) = start(Limits::default()).await;
    let head = format!("GET /healthz HTTP/1.1\r\nHost: o\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = ask(address, &head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A gigabyte is promised; the answer is there before it would be.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /metrics HTTP/1.1\r\nHost: o\r\nContent-Length: 1000000000\r\n\r\nxxxx").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_request_a_byte_at_a_time_is_cut_off() {
    let limits = Limits { head: Duration::from_millis(300), ..Limits::default() };
    let (address, ..) = start(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let slowly = async {
        for byte in std::iter::repeat(b"GET /healthz HTTP/1.1\r\nX: ".iter().chain(&[b'y'; 1000])).flatten() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            let mut answer = [0; 64];
            match timeout(Duration::from_millis(20), stream.read(&mut answer)).await {
                Ok(Ok(1..)) | Err(_) => {}
                Ok(_) => break,
            }
        }
    };
    timeout(PATIENCE, slowly).await.expect("it is cut off, though a byte came every 20 ms");
}

#[tokio::test]
async fn a_connection_has_an_end() {
    let limits = Limits { lifetime: Duration::from_millis(300), ..Limits::default() };
    let (address, ..) = start(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let again_and_again = async {
        let mut answer = vec![0; 4096];
        while stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: o\r\n\r\n").await.is_ok() {
            if !matches!(stream.read(&mut answer).await, Ok(1..)) {
                break;
            }
        }
    };
    timeout(PATIENCE, again_and_again).await.expect("it ends, though every request is a good one");
}

/// Ten thousand that only sit there, and one with a question.
#[tokio::test]
async fn ten_thousand_idle_connections_leave_it_working() {
    let limits = Limits { head: PATIENCE * 6, lifetime: PATIENCE * 6, ..Limits::default() };
    let (address, ..) = start(limits).await;
    let before = descriptors();
    let mut idle = Vec::new();
    for number in 0..10_000 {
        let stream = TcpStream::connect(address).await;
        idle.push(stream.unwrap_or_else(|error| panic!("connection {number}: {error}; see `ulimit -n`")));
        if number % 1000 == 0 {
            assert!(ask(address, &get("/healthz")).await.starts_with("HTTP/1.1 200"), "after {number}");
        }
    }
    assert!(ask(address, &get("/metrics")).await.starts_with("HTTP/1.1 200"));
    // Client and server are one process here: what is more than the clients' own is the server's.
    let taken = descriptors() - before - idle.len();
    assert!(taken <= limits.connections + 16, "{taken} descriptors are taken");
    assert!(closes(&mut idle[0]).await, "the oldest had to go");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_whoever_is_there() {
    let (address, stop, served) = start(Limits::default()).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HT").await.unwrap();
    assert!(ask(address, &get("/healthz")).await.starts_with("HTTP/1.1 200"));
    stop.cancel();
    timeout(PATIENCE, served).await.expect("it ends").unwrap();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
