//! What tests over real sockets share: a server on loopback, and how much memory its answers take.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::SocketAddr;

use axum::{
    Router,
    body::{Body, Bytes},
};
use futures::{Stream, StreamExt};
use tokio::net::TcpListener;

/// Serves up to the end of the test.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

/// An answer that comes piece by piece.
pub fn body(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>))
}

/// The most memory that this process ever had.
pub fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
