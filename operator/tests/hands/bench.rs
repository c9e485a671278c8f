//! An experiment with a kill that is planned, and hands to carry it out.

use std::convert::Infallible;

use breakwater_crds::{ChaosExperiment, Outcome};
use breakwater_fake_apiserver::{
    Failure, FakeApiServer, Kind, Verb, document,
    http::{Method, Request, request::Parts},
};
use breakwater_operator::{
    apply::Hands,
    clock::Clock,
    decide::{Attempt, Victim},
    halt::Halt,
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    client::Body,
    runtime::events::{Recorder, Reporter},
};
use serde_json::{Value, json};

pub const NOW: Timestamp = Timestamp::constant(1_796_115_600, 0);
pub const PODS: &str = "/api/v1/namespaces/shop/pods";
const EXPERIMENTS: &str = "/apis/chaos.breakwater.dev/v1alpha1/namespaces/shop/chaosexperiments";
/// The experiment.
pub const OUTAGE: &str = "/apis/chaos.breakwater.dev/v1alpha1/namespaces/shop/chaosexperiments/outage";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

pub struct Bench {
    pub server: FakeApiServer,
    pub experiments: Api<ChaosExperiment>,
    pub hands: Hands,
}

/// What makes a spec one of a restart.
pub fn restart() -> Value {
    json!({"kill": {"method": "RolloutRestart"}, "target": {"workload": {"kind": "Deployment", "name": "backend"}}})
}

/// An answer that is a refusal.
pub fn no(failure: &Failure) -> Option<(u16, Value)> {
    Some((failure.code, failure.document()))
}

impl Bench {
    pub fn new() -> Self {
        Self::meddled(|_, _, _| None)
    }

    /// Before a request of the hands is answered, something happens, or it is answered otherwise.
    pub fn meddled(
        meddle: impl Fn(&FakeApiServer, &Parts, &[u8]) -> Option<(u16, Value)> + Clone + Send + Sync + 'static,
    ) -> Self {
        let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], || NOW);
        let behind = server.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, meddle) = (behind.clone(), meddle.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                Ok::<_, Infallible>(match meddle(&server, &parts, &body) {
                    Some((code, answer)) => document(code, &answer),
                    None => server.answer(&"operator".into(), &parts, &body),
                })
            }
        });
        let client = Client::new(service, "shop");
        let recorder = Recorder::new(client.clone(), Reporter::from("breakwater"));
        let halt = Halt::new(client.clone(), "shop", "halt");
        let hands = Hands::new(client, recorder, Clock::new(|| NOW), halt);
        let experiments = Api::namespaced(Client::new(server.service("tests"), "shop"), "shop");
        let bench = Self { server, experiments, hands };
        bench.ask(Method::POST, "/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
        bench
    }

    pub fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        self.server.call("user", method, path, &body).expect("it is taken")
    }

    pub fn patch(&self, path: &str, body: Value) {
        self.ask(Method::PATCH, path, body);
    }

    /// A backend's pod that is ready, with more or other fields.
    pub fn pod(&self, name: &str, more: Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "labels": {"app": "backend"}},
            "spec": {"nodeName": "node", "containers": [], "terminationGracePeriodSeconds": 30},
        });
        json_patch::merge(&mut pod, &more);
        self.ask(Method::POST, PODS, pod);
        self.ready(name, "True")
    }

    /// Its condition Ready.
    pub fn ready(&self, name: &str, status: &str) -> Value {
        let conditions = json!([{"type": "Ready", "status": status}]);
        self.ask(Method::PATCH, &format!("{PODS}/{name}/status"), json!({"status": {"conditions": conditions}}))
    }

    pub fn deployment(&self) -> Value {
        let template = json!({"metadata": {"labels": {"app": "backend"}}, "spec": {"containers": []}});
        let body = json!({"metadata": {"name": "backend"}, "spec": {"template": template}});
        self.ask(Method::POST, DEPLOYMENTS, body)
    }

    /// The experiment is made, with more or other fields in its spec.
    pub fn apply(&self, more: Value) {
        let clients = json!([{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 8080,
            "breaker": "backend"}]);
        let mut spec = json!({
            "target": {"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}},
            "kill": {}, "observe": {"clients": clients}, "expect": {},
        });
        json_patch::merge(&mut spec, &more);
        self.ask(Method::POST, EXPERIMENTS, json!({"metadata": {"name": "outage"}, "spec": spec}));
    }

    /// The experiment, with more or other fields in its spec; in its status a kill is planned.
    pub async fn planned(&self, victim: &Value, more: Value) -> (ChaosExperiment, Victim) {
        self.apply(more);
        let (name, uid) = (victim["metadata"]["name"].as_str().unwrap(), victim["metadata"]["uid"].as_str().unwrap());
        let planned = json!({"round": 1, "slot": 1, "pod": name, "uid": uid, "plannedAt": NOW, "outcome": "Planned"});
        let run = json!({"id": "00000000-0000-0000-0000-000000000001", "seed": "00000000-0000-0000-0000-000000000002",
            "startedAt": NOW, "round": 1, "slot": 1, "firstSlot": 1, "kills": [planned]});
        self.patch(&format!("{OUTAGE}/status"), json!({"status": {"phase": "Killing", "run": run}}));
        let (name, uid) = (name.to_string(), uid.to_string());
        let deadline = NOW + SignedDuration::from_secs(10);
        let victim = Victim { slot: 1, first: true, name, uid, planned_at: NOW, deadline };
        (self.experiments.get("outage").await.expect("it is there"), victim)
    }

    /// What comes of a kill, in a word and a sentence.
    pub async fn kill(&self, experiment: &ChaosExperiment, victim: &Victim) -> (Outcome, String) {
        let Attempt { slot, uid, sent_at, outcome, message } = self.hands.kill(experiment, victim).await;
        let done = matches!(outcome, Outcome::Deleted | Outcome::Evicted | Outcome::Restarted);
        // What may have been done by others is not said to be sent.
        assert_eq!((slot, uid, sent_at), (victim.slot, victim.uid.clone(), done.then_some(NOW)), "{outcome:?}");
        (outcome, message.unwrap_or_default())
    }

    /// What the hands have sent that takes pods away, whatever came of it.
    pub fn sent(&self) -> Vec<Value> {
        let state = self.server.state();
        let takes = |verb: Verb| matches!(verb, Verb::Delete | Verb::Create);
        let sent = state.requests.iter().filter(|request| &*request.by == "operator" && takes(request.verb));
        let sent = sent.filter(|request| request.kind == "pods");
        sent.map(|request| request.sent.clone().unwrap_or_default()).collect()
    }
}
