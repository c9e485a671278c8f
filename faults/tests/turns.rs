//! More experiments than can be looked at: each has its turn, none waits for others that came after it.
#![allow(clippy::disallowed_methods, reason = "the edge: virtual time is made here")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::http::Method;
use breakwater_faults::{
    clients::Clients,
    lab::{EXPERIMENTS, server, wall},
    net::{Fate, LineFate, Network, Sent},
    process::Process,
    workloads::{self, Workload},
};
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Experiments about the same pods, so that they wait for one another.
const COUNT: usize = 200;
/// What a request to the API server takes; a look makes several, so that some four looks a second come to their end.
const SLOW: Duration = Duration::from_secs(1);
/// Each should have had its turn several times.
const WATCHED: Duration = Duration::from_secs(500);

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_look_has_its_turn() {
    let opened = Instant::now();
    let server = server(opened);
    let crowded = Workload { more: "  timeout: 30m\n", ..workloads::all().remove(0) };
    for number in 0..COUNT {
        let body = crowded.experiment(&format!("crowded-{number}"));
        server.call("admin", Method::POST, EXPERIMENTS, &body).expect("it is created");
    }
    let slow = |sent: &Sent| if sent.is_watching() { Fate::Pass } else { Fate::Slow(SLOW) };
    let network = Network::new(server.clone(), Box::new(slow), Box::new(|_| LineFate::Pass), None);
    let _operator =
        Process::start(1, &network, Arc::new(Clients::default()), move || wall(opened), SignedDuration::ZERO, false);
    sleep(WATCHED).await;

    let mut looks = BTreeMap::<String, usize>::new();
    for (sent, _) in network.sent() {
        if let Some(name) = sent.path.strip_prefix(&format!("{EXPERIMENTS}/")).filter(|_| sent.method == "GET") {
            *looks.entry(name.into()).or_default() += 1;
        }
    }
    // They wait for one another, and those whose turn it was have ended.
    let answer = server.call("admin", Method::GET, EXPERIMENTS, &json!({})).expect("they are listed");
    let all = answer["items"].as_array().expect("a list");
    let waits = all.iter().filter(|one| one["status"]["run"]["completedAt"].is_null());
    let each = waits.map(|one| looks.get(one["metadata"]["name"].as_str()?).copied());
    let each: Vec<_> = each.map(Option::unwrap_or_default).collect();
    let (least, most) = (each.iter().min().copied(), each.iter().max().copied());
    println!("{} experiments that wait were looked at {least:?} to {most:?} times in {WATCHED:?}", each.len());
    assert!(each.len() > COUNT / 2, "{} still wait", each.len());
    assert!(least >= Some(3) && most <= least.map(|least| 2 * least), "{looks:?}");
}
