//! Connections that are kept, and pods that go away behind them.

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use breakwater_breaker::State::Closed;
use common::{TestBackend, TestClient};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A Service's address: each connection leads to the pod that it was made to.
struct Service {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    /// Connections up to this one lead to a pod whose machine is gone: nothing is answered, and nothing is closed.
    gone: watch::Sender<u64>,
}

impl Service {
    async fn start(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, gone) = (Arc::<AtomicU64>::default(), watch::Sender::new(0));
        let (counter, told) = (Arc::clone(&connections), gone.subscribe());
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, SeqCst) + 1;
                let mut told = told.clone();
                tokio::spawn(async move {
                    let mut pod = TcpStream::connect(backend).await.unwrap();
                    let gone = async { told.wait_for(|gone| *gone >= number).await.map(drop) };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut pod) => {}
                        // Both sockets are kept, and nobody reads them.
                        _ = gone => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, connections, gone }
    }

    fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }
}

#[tokio::test]
async fn a_dead_pod_costs_one_time_out_and_the_next_call_goes_to_a_living_one() {
    let backend = TestBackend::start();
    let service = Service::start(backend.address).await;
    let args = "--interval 20ms --deadline 10s --attempt-timeout 500ms --attempts 1";
    let client = TestClient::start(&service.url(), args).await;
    let before = client.until_status("five calls", |report| report.calls.success >= 5).await;
    assert_eq!(service.connections.load(SeqCst), 1, "a connection is used again");

    service.gone.send(1).unwrap();
    let after = client.until_status("more", |report| report.calls.success >= before.calls.success + 20).await;
    assert_eq!((after.state, after.calls.failure, after.transitions.last_seq), (Closed, 1, 1), "one call was lost");
    assert_eq!(service.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn without_keep_alive_each_attempt_has_a_connection_of_its_own() {
    let backend = TestBackend::start();
    let service = Service::start(backend.address).await;
    let args = "--interval 20ms --deadline 10s --attempt-timeout 5s --attempts 1 --keep-alive 0s";
    let client = TestClient::start(&service.url(), args).await;
    let report = client.until_status("five calls", |report| report.calls.success >= 5).await;
    assert!(service.connections.load(SeqCst) >= report.calls.success);
}
