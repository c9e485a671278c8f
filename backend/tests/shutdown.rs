//! The end of the service, on real sockets.

mod common;

use std::{future::pending, net::SocketAddr, process::Command, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use breakwater_backend::{
    app::{Backend, app},
    serve::{Drained, serve},
};
use common::Program;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// Long enough for a busy machine; a test that waits as long fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<Drained>>,
}

/// Serves the backend with `extra` routes on loopback.
async fn start(extra: Router, drain: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, told) = oneshot::channel();
    let backend = Arc::<Backend>::default();
    let app = app(Arc::clone(&backend)).merge(extra);
    let server = tokio::spawn(serve(listener, app, backend, async { told.await.unwrap() }, drain));
    Running { address, shutdown, server }
}

async fn until_refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_end() {
    let (arrived, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, finish) = (Arc::clone(&arrived), Arc::clone(&finish));
        get(async move || {
            arrived.notify_one();
            finish.notified().await;
            "late"
        })
    };
    let mut running = start(Router::new().route("/slow", slow), PATIENCE).await;
    let call = tokio::spawn(reqwest::get(format!("http://{}/slow", running.address)));
    timeout(PATIENCE, arrived.notified()).await.unwrap();

    running.shutdown.send(()).unwrap();
    timeout(PATIENCE, until_refused(running.address)).await.expect("a server that ends takes no new connection");
    let ended = timeout(Duration::from_millis(100), &mut running.server).await;
    assert!(ended.is_err(), "it waits for the call in flight: {ended:?}");

    finish.notify_one();
    let answer = timeout(PATIENCE, call).await.unwrap().unwrap().expect("the call in flight is answered");
    assert_eq!(answer.text().await.unwrap(), "late");
    assert_eq!(timeout(PATIENCE, running.server).await.unwrap().unwrap().unwrap(), Drained::All);
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_after_the_time_to_drain() {
    let arrived = Arc::new(Notify::new());
    let stuck = {
        let arrived = Arc::clone(&arrived);
        get(async move || {
            arrived.notify_one();
            pending::<()>().await;
        })
    };
    let running = start(Router::new().route("/stuck", stuck), Duration::from_millis(50)).await;
    let _call = tokio::spawn(reqwest::get(format!("http://{}/stuck", running.address)));
    timeout(PATIENCE, arrived.notified()).await.unwrap();
    running.shutdown.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, running.server).await.unwrap().unwrap().unwrap(), Drained::Cut);
}

#[tokio::test]
async fn the_program_answers_and_ends_well_on_sigterm() {
    let mut program = Program::start(&[]);
    let answer = reqwest::get(program.url("/data")).await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"message":"Backend Running"}"#);

    assert!(Command::new("kill").args(["-TERM", &program.child.id().to_string()]).status().unwrap().success());
    let rest: Vec<_> = program.log.by_ref().map(Result::unwrap).collect();
    assert!(rest.last().unwrap().contains("every call in flight was answered"), "{rest:?}");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_setting_is_refused_with_a_sentence() {
    for (args, said) in [
        (["--drain-timeout", "10"], "write a duration with its unit"),
        (["--listen", "here"], "--listen"),
        (["--log-format", "xml"], "possible values: text, json"),
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_breakwater-backend")).args(args).output().unwrap();
        let stderr = String::from_utf8(program.stderr).unwrap();
        assert_eq!(program.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
