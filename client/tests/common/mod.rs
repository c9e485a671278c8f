//! A backend that fails on demand, and a client under test, both on loopback.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod program;

use std::{
    future::pending,
    net::{SocketAddr, TcpListener as StdTcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use breakwater_backend::app::{Backend, app};
use breakwater_breaker::{
    Cursor, State as BreakerState, Transition,
    wire::{BreakerReport, StatusReport},
};
use breakwater_client::{service, settings::Task};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

/// Long enough for a busy machine; a test that waits as long fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls are never answered in this mode.
pub const HANG: u16 = 1;

#[derive(Debug, Default)]
struct Faults {
    /// 0: none; [`HANG`]; or the status to answer.
    mode: AtomicU16,
    requests: AtomicU64,
    /// The `traceparent` of each request, empty where there was none.
    traceparents: Mutex<Vec<String>>,
}

/// The real backend behind a middleware that can fail calls; its runtime is its own, so that killing it closes
/// every connection as the end of a process does.
pub struct TestBackend {
    pub address: SocketAddr,
    faults: Arc<Faults>,
    runtime: Option<Runtime>,
}

impl TestBackend {
    pub fn start() -> Self {
        let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::default();
        Self { address, runtime: Some(serve(listener, Arc::clone(&faults))), faults }
    }

    pub fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }

    /// From now on calls are answered so: a status, [`HANG`], or 0 for as usual.
    pub fn answer(&self, mode: u16) {
        self.faults.mode.store(mode, SeqCst);
    }

    /// Calls that arrived.
    pub fn requests(&self) -> u64 {
        self.faults.requests.load(SeqCst)
    }

    /// The `traceparent` of each request, empty where there was none.
    pub fn traceparents(&self) -> Vec<String> {
        self.faults.traceparents.lock().unwrap().clone()
    }

    pub async fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        timeout(PATIENCE, async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a killed backend refuses connections");
    }

    pub fn revive(&mut self) {
        let listener = StdTcpListener::bind(self.address).unwrap();
        self.runtime = Some(serve(listener, Arc::clone(&self.faults)));
    }
}

impl Drop for TestBackend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn serve(listener: StdTcpListener, faults: Arc<Faults>) -> Runtime {
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let app = app(Arc::<Backend>::default()).layer(middleware::from_fn_with_state(faults, fail));
    runtime.spawn(async { axum::serve(TcpListener::from_std(listener).unwrap(), app).await });
    runtime
}

async fn fail(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    faults.requests.fetch_add(1, SeqCst);
    let traceparent = request.headers().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
    faults.traceparents.lock().unwrap().push(traceparent.unwrap_or_default());
    match faults.mode.load(SeqCst) {
        0 => next.run(request).await,
        HANG => pending().await,
        // With a place to go to, so that a client that follows redirects is found out.
        302 => (StatusCode::FOUND, [("location", "/healthz")]).into_response(),
        status => StatusCode::from_u16(status).unwrap().into_response(),
    }
}

/// The client service with settings of the test.
pub struct TestClient {
    pub address: SocketAddr,
    pub epoch: Uuid,
    pub shutdown: Option<oneshot::Sender<()>>,
    pub service: JoinHandle<std::io::Result<()>>,
}

impl TestClient {
    /// Starts it with one target, and what else is on its command line.
    pub async fn start(backend: &str, args: &str) -> Self {
        Self::start_with(&format!("--backend-url {backend} {args}")).await
    }

    /// Starts it with what is on its command line.
    pub async fn start_with(args: &str) -> Self {
        let command = format!("breakwater-client {args}");
        let Task::Serve(settings) = Task::read(command.split_whitespace()).unwrap() else { panic!("it serves") };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let epoch = Uuid::from_u128(7);
        let (shutdown, told) = oneshot::channel::<()>();
        let service = tokio::spawn(async move {
            let told = async { told.await.unwrap() };
            service::run(*settings, epoch, listener, told).await
        });
        Self { address, epoch, shutdown: Some(shutdown), service }
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        get(self.address, path).await
    }

    /// The one breaker of `/status` after the query.
    pub async fn status(&self, query: &str) -> BreakerReport {
        let report: StatusReport = self.get(&format!("/status{query}")).await.json().await.unwrap();
        report.breakers.into_iter().next().unwrap()
    }

    /// Long polls until a transition to `state`; gives all on the way, and moves the cursor behind them.
    pub async fn until(&self, state: BreakerState, cursor: &mut Cursor) -> Vec<Transition> {
        let mut read = Vec::new();
        let polls = async {
            while read.last().is_none_or(|last: &Transition| last.to != state) {
                let transitions = self.status(&format!("?since={cursor}&wait=10s")).await.transitions;
                *cursor = transitions.next;
                read.extend(transitions.items);
            }
        };
        timeout(PATIENCE, polls).await.unwrap_or_else(|_| panic!("no {state} in time"));
        read
    }

    /// Asks `/status` of the only breaker until it is as wanted.
    pub async fn until_status(&self, what: &str, wanted: impl Fn(&BreakerReport) -> bool) -> BreakerReport {
        self.until_report("", what, wanted).await
    }

    /// Asks `/status` of one breaker until it is as wanted.
    pub async fn until_breaker(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&BreakerReport) -> bool,
    ) -> BreakerReport {
        self.until_report(&format!("?breaker={name}"), what, wanted).await
    }

    async fn until_report(&self, query: &str, what: &str, wanted: impl Fn(&BreakerReport) -> bool) -> BreakerReport {
        timeout(PATIENCE, async {
            loop {
                let report = self.status(query).await;
                if wanted(&report) {
                    return report;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    /// A cursor behind the start.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: 1 }
    }

    pub fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    pub async fn ended(self) {
        timeout(PATIENCE, self.service).await.expect("it ends").unwrap().unwrap();
    }
}

pub async fn get(address: SocketAddr, path: &str) -> reqwest::Response {
    get_with(address, path, &[]).await
}

/// Asks with these headers.
pub async fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = reqwest::Client::new().get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    timeout(PATIENCE, request.send()).await.unwrap().unwrap()
}
