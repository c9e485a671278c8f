//! Looks at a cluster, on an API server in process: which of the clients' pods are asked, and what no run can come of.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use breakwater_crds::{ChaosExperiment, MAX_REPLICAS, Reason, Verdict, Workload, WorkloadKind};
use breakwater_fake_apiserver::{FakeApiServer, Kind, http::Method};
use breakwater_operator::{
    clock::Clock, decide::decide, fetch::Fetch, halt::Halt, metrics::Metrics, observe::Observer, world::ReplicaView,
};
use futures::{FutureExt, channel::mpsc, future::BoxFuture};
use jiff::Timestamp;
use kube::Client;
use reqwest::Url;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::constant(1_796_115_600, 0);
const PODS: &str = "/api/v1/namespaces/shop/pods";
/// Replicas of each of the two clients.
const EACH: usize = 13;

/// The addresses that were asked. None of them answers.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeSet<String>>>);

impl Fetch for Asked {
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        self.0.lock().unwrap().insert(url.host_str().unwrap_or_default().into());
        std::future::ready(Err("nobody answers".into())).boxed()
    }
}

/// A pod that is ready, and its uid.
fn pod(server: &FakeApiServer, app: &str, number: usize, address: &str) -> String {
    let ask = |method, path: &str, body: Value| server.call("user", method, path, &body).expect("it is taken");
    let name = format!("{app}-{number:02}");
    let body = json!({"metadata": {"name": name, "labels": {"app": app}}, "spec": {"containers": []}});
    let made = ask(Method::POST, PODS, body);
    let status = json!({"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]});
    ask(Method::PATCH, &format!("{PODS}/{name}/status"), json!({"status": status}));
    made["metadata"]["uid"].as_str().expect("it has one").into()
}

/// An experiment with two clients; its run has recorded these replicas of the one named back.
fn experiment(recorded: &[String]) -> ChaosExperiment {
    let client = |name: &str| json!({"name": name, "selector": {"matchLabels": {"app": name}}, "port": 8080, "breaker": "backend"});
    let replica = |uid: &String| {
        json!({"client": "back", "pod": "back", "uid": uid, "epoch": "00000000-0000-0000-0000-000000000003", "seq": 1,
            "breaker": "Closed", "sequence": ["Closed"]})
    };
    let run = json!({"id": "00000000-0000-0000-0000-000000000001", "seed": "00000000-0000-0000-0000-000000000002",
        "startedAt": NOW, "ticket": 1, "baselineAt": NOW, "round": 1,
        "clients": recorded.iter().map(replica).collect::<Vec<_>>()});
    serde_json::from_value(json!({
        "apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment",
        "metadata": {"name": "outage", "namespace": "shop", "uid": "outage", "generation": 1},
        "spec": {
            "target": {"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}}, "kill": {}, "expect": {},
            "observe": {"clients": [client("front"), client("back")]},
        },
        "status": {"phase": "Killing", "run": run},
    }))
    .expect("it is one")
}

fn server() -> FakeApiServer {
    let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], || NOW);
    let shop = json!({"metadata": {"name": "shop"}});
    server.call("user", Method::POST, "/api/v1/namespaces", &shop).expect("it is taken");
    server
}

fn observer(server: &FakeApiServer, asked: &Asked) -> Observer {
    let client = Client::new(server.service("operator"), "shop");
    let (bells, _) = mpsc::unbounded();
    let (clock, metrics) = (Clock::new(|| NOW), Arc::new(Metrics::default()));
    Observer::new(client, Arc::new(asked.clone()), clock, metrics, None, Halt::none(), bells)
}

#[tokio::test]
async fn no_more_replicas_are_asked_than_a_run_can_have_and_those_that_it_has_come_first() {
    let server = server();
    let mut recorded = vec![];
    for number in 0..EACH {
        pod(&server, "front", number, &format!("10.244.1.{number}"));
        recorded.push(pod(&server, "back", number, &format!("10.244.2.{number}")));
    }
    // The last ones of the list.
    let recorded = &recorded[EACH - 5..];
    let experiment = experiment(recorded);

    let asked = Asked::default();
    // It asks as long as it is there.
    let observer = observer(&server, &asked);
    let world = observer.look(&experiment, NOW).await.expect("it is answered");
    let all: Vec<&ReplicaView> = world.clients.iter().flat_map(|client| &client.replicas).collect();
    assert_eq!(all.len(), 2 * EACH, "a run that is yet to begin is refused by their number");
    let refused = |view: &&&ReplicaView| view.error.as_ref().is_some_and(|why| why.contains("26 client replicas"));
    let left: Vec<_> = all.iter().filter(refused).collect();
    assert_eq!(left.len(), 2 * EACH - MAX_REPLICAS);
    assert!(left.iter().all(|view| !recorded.contains(&view.uid)), "{left:?}");
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let asked = asked.0.lock().unwrap();
    assert_eq!(asked.len(), MAX_REPLICAS, "{asked:?}");
    for number in EACH - 5..EACH {
        assert!(asked.contains(&format!("10.244.2.{number}")), "{number} is recorded: {asked:?}");
    }
}

#[tokio::test]
async fn a_restart_that_would_replace_no_pod_is_refused_before_it_begins() {
    let server = server();
    let spec = json!({"replicas": 1, "updateStrategy": {"type": "OnDelete"},
        "template": {"metadata": {"labels": {"app": "backend"}}, "spec": {"containers": []}}});
    let set = json!({"metadata": {"name": "backend"}, "spec": spec});
    server.call("user", Method::POST, "/apis/apps/v1/namespaces/shop/statefulsets", &set).expect("it is taken");
    let mut experiment = experiment(&[]);
    experiment.spec.kill = Some(serde_json::from_value(json!({"method": "RolloutRestart"})).unwrap());
    experiment.spec.target.workload = Some(Workload { kind: WorkloadKind::StatefulSet, name: "backend".into() });
    let run = experiment.status.as_mut().and_then(|status| status.run.as_mut()).expect("it has one");
    (run.ticket, run.baseline_at) = (None, None);
    let world = observer(&server, &Asked::default()).look(&experiment, NOW).await.expect("it is answered");
    let decision = decide(&experiment, &world, NOW);
    let status = decision.status;
    assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::InvalidSpec)));
    let message = status.message.unwrap_or_default();
    assert!(message.contains("StatefulSet backend") && message.contains("OnDelete"), "{message}");
    assert_eq!(decision.kills, []);
}
