//! A kill that was done by an operator that died before it could write it down: the next one does not say that it was not done.

use breakwater_crds::{ABORT, ChaosExperiment, Outcome};
use breakwater_fake_apiserver::{
    FakeApiServer, Kind,
    http::{Method, Request},
};
use breakwater_operator::{apply::Hands, clock::Clock, decide::Victim, halt::Halt};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    client::Body,
    runtime::events::{Recorder, Reporter},
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::constant(1_796_115_600, 0);
const PODS: &str = "/api/v1/namespaces/shop/pods";
const EXPERIMENTS: &str = "/apis/chaos.breakwater.dev/v1alpha1/namespaces/shop/chaosexperiments";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

struct Bench {
    server: FakeApiServer,
    experiments: Api<ChaosExperiment>,
    hands: Hands,
}

impl Bench {
    fn new() -> Self {
        let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], || NOW);
        let client = Client::new(server.service("operator-2"), "shop");
        let recorder = Recorder::new(client.clone(), Reporter::from("breakwater"));
        let halt = Halt::new(client.clone(), "shop", "halt");
        let hands = Hands::new(client.clone(), recorder, Clock::new(|| NOW), halt);
        let bench = Self { server, experiments: Api::namespaced(client, "shop"), hands };
        bench.ask(Method::POST, "/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
        bench
    }

    fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        self.server.call("user", method, path, &body).expect("it is taken")
    }

    fn patch(&self, path: &str, body: Value) {
        self.ask(Method::PATCH, path, body);
    }

    /// An experiment in whose status a kill is planned.
    async fn planned(&self, victim: &Value, kill: Value) -> (ChaosExperiment, Victim) {
        let (name, uid) = (victim["metadata"]["name"].as_str().unwrap(), victim["metadata"]["uid"].as_str().unwrap());
        let workload = (kill["method"] == "RolloutRestart").then(|| json!({"kind": "Deployment", "name": name}));
        let target =
            json!({"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}, "workload": workload});
        let clients = json!([{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 8080,
            "breaker": "backend"}]);
        let spec = json!({"target": target, "kill": kill, "observe": {"clients": clients}, "expect": {}});
        self.ask(Method::POST, EXPERIMENTS, json!({"metadata": {"name": "outage"}, "spec": spec}));
        let planned = json!({"round": 1, "slot": 1, "pod": name, "uid": uid, "plannedAt": NOW, "outcome": "Planned"});
        let run = json!({"id": "00000000-0000-0000-0000-000000000001", "seed": "00000000-0000-0000-0000-000000000002",
            "startedAt": NOW, "round": 1, "slot": 1, "firstSlot": 1, "kills": [planned]});
        self.patch(&format!("{EXPERIMENTS}/outage/status"), json!({"status": {"phase": "Killing", "run": run}}));
        let (name, uid) = (name.to_string(), uid.to_string());
        let deadline = NOW + SignedDuration::from_secs(10);
        let victim = Victim { slot: 1, first: true, name, uid, planned_at: NOW, deadline };
        (self.experiments.get("outage").await.expect("it is there"), victim)
    }

    fn pod(&self) -> Value {
        let spec = json!({"nodeName": "node", "containers": [], "terminationGracePeriodSeconds": 30});
        self.ask(
            Method::POST,
            PODS,
            json!({"metadata": {"name": "backend", "labels": {"app": "backend"}}, "spec": spec}),
        )
    }

    /// Why a kill is not sent any more.
    fn refuse(&self, why: &str, victim: &mut Victim) {
        let outage = format!("{EXPERIMENTS}/outage");
        match why {
            "halt" => {
                let halt = json!({"metadata": {"name": "halt"}, "data": {"halt": "true"}});
                self.ask(Method::POST, "/api/v1/namespaces/shop/configmaps", halt);
            }
            "aborted" => self.patch(&outage, json!({"metadata": {"annotations": {ABORT: ""}}})),
            "suspended" => self.patch(&outage, json!({"spec": {"suspend": true}})),
            "past its kills" => self.patch(&format!("{outage}/status"), json!({"status": {"phase": "Recovering"}})),
            "in time" => victim.deadline = NOW - SignedDuration::from_secs(1),
            _ => {}
        }
    }
}

const REFUSALS: [&str; 5] = ["halt", "aborted", "suspended", "past its kills", "in time"];

#[tokio::test]
async fn a_pod_that_is_gone_or_going_is_not_told_as_failed() {
    for why in REFUSALS {
        for (grace, outcome) in [(None, Outcome::Failed), (Some(0), Outcome::Gone), (Some(30), Outcome::Gone)] {
            let bench = Bench::new();
            let pod = bench.pod();
            let (experiment, mut victim) = bench.planned(&pod, json!({"gracePeriodSeconds": 30})).await;
            if let Some(grace) = grace {
                bench.ask(Method::DELETE, &format!("{PODS}/backend"), json!({"gracePeriodSeconds": grace}));
            }
            bench.refuse(why, &mut victim);
            let attempt = bench.hands.kill(&experiment, &victim).await.expect("it is settled");
            assert_eq!(attempt.outcome, outcome, "{why}, {grace:?}: {attempt:?}");
            let said = attempt.message.unwrap_or_default();
            assert!(outcome == Outcome::Gone || said.contains(why), "{why}: {said}");
        }
    }
}

#[tokio::test]
async fn a_restart_that_is_done_is_not_told_as_failed() {
    for why in REFUSALS {
        for done in [false, true] {
            let bench = Bench::new();
            let template = json!({"metadata": {"labels": {"app": "backend"}}, "spec": {"containers": []}});
            let body = json!({"metadata": {"name": "backend"}, "spec": {"template": template}});
            let deployment = bench.ask(Method::POST, DEPLOYMENTS, body);
            let (experiment, mut victim) = bench.planned(&deployment, json!({"method": "RolloutRestart"})).await;
            if done {
                let first = bench.hands.kill(&experiment, &victim).await.expect("it is settled");
                assert_eq!(first.outcome, Outcome::Restarted);
            }
            bench.refuse(why, &mut victim);
            let attempt = bench.hands.kill(&experiment, &victim).await.expect("it is settled");
            let wanted = if done { Outcome::Restarted } else { Outcome::Failed };
            assert_eq!(attempt.outcome, wanted, "{why}: {attempt:?}");
        }
    }
}

#[tokio::test]
async fn where_nobody_can_look_nothing_is_said() {
    let bench = Bench::new();
    let pod = bench.pod();
    let (experiment, victim) = bench.planned(&pod, json!({"gracePeriodSeconds": 0})).await;
    // The API server refuses to show the pod, and says nothing of a halt.
    let server = bench.server.clone();
    let blind = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let (parts, body) = request.into_parts();
            if parts.uri.path().starts_with(PODS) {
                let refusal = breakwater_fake_apiserver::Failure::new(403, "Forbidden", "pods is forbidden");
                return Ok::<_, std::convert::Infallible>(breakwater_fake_apiserver::document(
                    403,
                    &refusal.document(),
                ));
            }
            let body = body.collect_bytes().await.unwrap_or_default();
            Ok(server.answer(&"operator-2".into(), &parts, &body))
        }
    });
    let client = Client::new(blind, "shop");
    let recorder = Recorder::new(client.clone(), Reporter::from("breakwater"));
    let hands = Hands::new(client, recorder, Clock::new(|| NOW), Halt::none());
    assert_eq!(hands.kill(&experiment, &victim).await, None);
}
