//! More experiments than a page of a list has: while a watch that broke lists anew, nothing is decided by what was known before.
#![allow(clippy::disallowed_methods, reason = "the edge: virtual time is made here")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use breakwater_faults::{
    clients::Clients,
    lab::{EXPERIMENTS, NAMESPACE, server, wall},
    net::{Fate, LineFate, Network, Sent},
    process::Process,
    workloads,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// More than the 500 of a page.
const COUNT: usize = 600;
/// A further page comes after this time.
const SLOW: Duration = Duration::from_secs(5);
/// A watch lasts no longer.
const A_WATCH: Duration = Duration::from_secs(295);
/// It is begun anew within this time.
const LIMIT: Duration = Duration::from_secs(60);

fn is_further_page(sent: &Sent) -> bool {
    sent.path.starts_with("/apis/chaos.breakwater.dev/") && sent.path.contains("continue=")
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_watch_was_broken_is_looked_at_by_the_new_list() {
    let opened = Instant::now();
    let server = server(opened);
    let call =
        |method: Method, path: &str, body: &Value| server.call("admin", method, path, body).expect("it is taken");
    let workload = workloads::all().remove(0);
    for number in 0..COUNT {
        let mut experiment = workload.experiment(&format!("sleeper-{number:03}"));
        experiment["spec"]["suspend"] = json!(true);
        call(Method::POST, EXPERIMENTS, &experiment);
    }
    let deaf = Arc::new(AtomicBool::new(false));
    let is_deaf = deaf.clone();
    let slow = |sent: &Sent| if is_further_page(sent) { Fate::Slow(SLOW) } else { Fate::Pass };
    let lines = move |_| if is_deaf.load(Ordering::SeqCst) { LineFate::Drop } else { LineFate::Pass };
    let network = Network::new(server.clone(), Box::new(slow), Box::new(lines), None);
    let _operator =
        Process::start(1, &network, Arc::new(Clients::default()), move || wall(opened), SignedDuration::ZERO, false);
    sleep(Duration::from_secs(60)).await;
    let pages = || network.sent().iter().filter(|(sent, _)| is_further_page(sent)).count();
    let first = format!("{EXPERIMENTS}/sleeper-000");
    let phase = || call(Method::GET, &first, &Value::Null)["status"]["phase"].clone();
    assert_eq!((pages(), phase()), (1, json!("Suspended")), "all are known");

    // The watch does not tell of it, nor of the revision, up to its end; begun anew, it comes too late for what it has missed.
    deaf.store(true, Ordering::SeqCst);
    call(Method::PATCH, &first, &json!({"spec": {"suspend": false}}));
    call(Method::POST, &format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), &json!({"metadata": {"name": "note"}}));
    server.state().store.compact();
    sleep(A_WATCH).await;
    deaf.store(false, Ordering::SeqCst);
    let listed_anew = async {
        while pages() < 2 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, listed_anew).await.expect("the watch lists anew");
    sleep(SLOW * 2).await;
    assert_ne!(phase(), json!("Suspended"), "it lies as it was known before");
}
