//! The backend: a controller that replaces its pods, and a kubelet that starts and ends them.

use std::{collections::HashMap, sync::Arc};

use axum::http::Method;
use breakwater_fake_apiserver::FakeApiServer;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    deployment::Deployment,
    lab::{ELSEWHERE, NAMESPACE, OPENS, PODS},
    workloads::Workload,
};

/// From the end of a pod to its replacement.
const REPLACE: SignedDuration = SignedDuration::from_millis(400);
/// From the delete of a pod to its end, if it has no more time.
const END: SignedDuration = SignedDuration::from_millis(150);

/// A set of pods that is kept up.
pub struct Backend {
    /// How many pods it is to have.
    pub replicas: usize,
    /// Its pods keep their names, as a StatefulSet's do.
    pub stateful: bool,
    /// From a pod's creation to its readiness.
    start: SignedDuration,
    /// The Deployment that its pods are of, if they are of one.
    deployment: Option<Deployment>,
    born: usize,
    lacks_since: Option<Timestamp>,
    ready_at: HashMap<String, Timestamp>,
    ends_at: HashMap<String, Timestamp>,
}

impl Backend {
    /// One without a pod.
    pub fn new(workload: &Workload, deployment: Option<Deployment>) -> Self {
        Self {
            replicas: workload.backends,
            stateful: workload.stateful,
            start: workload.start,
            deployment,
            born: 0,
            lacks_since: None,
            ready_at: HashMap::new(),
            ends_at: HashMap::new(),
        }
    }

    /// Time goes on. True if a pod serves.
    pub fn live(&mut self, server: &FakeApiServer, now: Timestamp) -> bool {
        let pods = backend_pods(server);
        if let Some(deployment) = &mut self.deployment {
            deployment.live(server, &pods);
        }
        let mut serves = false;
        let mut alive = vec![];
        for pod in &pods {
            let (name, uid) = (text(pod, "name"), text(pod, "uid"));
            if pod["metadata"]["deletionTimestamp"].is_string() {
                let left = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0).min(1);
                let end = *self.ends_at.entry(uid).or_insert(now + END + SignedDuration::from_secs(left));
                if now >= end {
                    let zero = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": text(pod, "uid")}});
                    drop(server.call("kubelet", Method::DELETE, &format!("{PODS}/{name}"), &zero));
                }
                continue;
            }
            alive.push(name.clone());
            let ready_at = *self.ready_at.entry(uid).or_insert(now + self.start);
            let ready = is_ready(pod);
            if now >= ready_at && !ready {
                drop(server.call("kubelet", Method::PATCH, &format!("{PODS}/{name}/status"), &running(now)));
            }
            serves |= ready;
        }
        if alive.len() >= self.replicas {
            self.lacks_since = None;
        } else if now >= *self.lacks_since.get_or_insert(now) + REPLACE {
            self.lacks_since = None;
            self.replace(server, &pods, &alive);
        }
        serves
    }

    fn replace(&mut self, server: &FakeApiServer, pods: &[Arc<Value>], alive: &[String]) {
        if self.stateful {
            for number in 0..self.replicas {
                let name = format!("backend-{number}");
                if !pods.iter().any(|pod| text(pod, "name") == name) {
                    self.create(server, &name);
                }
            }
            return;
        }
        for _ in alive.len()..self.replicas {
            self.born += 1;
            self.create(server, &format!("backend-{}", self.born));
        }
    }

    fn create(&self, server: &FakeApiServer, name: &str) {
        let kind = if self.stateful { "StatefulSet" } else { "ReplicaSet" };
        let other = json!({"apiVersion": "apps/v1", "kind": kind, "name": "backend",
            "uid": "00000000-0000-0000-0000-00000000beef", "controller": true});
        let owner = self.deployment.as_ref().map_or(other, Deployment::owner);
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "backend"}, "ownerReferences": [owner]},
            "spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 1, "containers": []}
        });
        drop(server.call("controller", Method::POST, PODS, &pod));
    }
}

/// The pods with the backend's label, those that end included.
pub fn backend_pods(server: &FakeApiServer) -> Vec<Arc<Value>> {
    let state = server.state();
    let kind = server.kinds().iter().position(|kind| kind.kind == "Pod").unwrap_or_default();
    state.store.list(kind, NAMESPACE).map(|(_, pod)| pod).filter(|pod| is_backend(pod)).cloned().collect()
}

/// Whether a pod is the backend's; the selector matches [baits](bait) as well.
pub fn is_backend(pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    metadata["labels"]["app"] == "backend"
        && metadata["namespace"] == NAMESPACE
        && metadata["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty())
}

/// Ready pods that the selector matches and nobody may kill: one in another namespace and, where a workload is named, one that is not
/// of it.
///
/// # Panics
/// Where the server refuses them.
pub fn bait(server: &FakeApiServer, workload: bool) {
    let bait = json!({"metadata": {"name": "bait", "labels": {"app": "backend"}},
        "spec": {"nodeName": "node-1", "containers": []}});
    for namespace in [Some(ELSEWHERE), workload.then_some(NAMESPACE)].into_iter().flatten() {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        server.call("admin", Method::POST, &pods, &bait).expect("it is created");
        server.call("kubelet", Method::PATCH, &format!("{pods}/bait/status"), &running(OPENS)).expect("it is there");
    }
}

/// The status of a pod that serves since then; nodes tell whole seconds.
pub fn running(since: Timestamp) -> Value {
    let second = format!("{}", since.strftime("%Y-%m-%dT%H:%M:%SZ"));
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": second}]}})
}

/// Whether a pod serves.
pub fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && ready(pod).is_some()
}

/// Since when a pod is ready, whether or not it is told to end.
pub fn ready_since(pod: &Value) -> Option<Timestamp> {
    ready(pod)?["lastTransitionTime"].as_str()?.parse().ok()
}

fn ready(pod: &Value) -> Option<&Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().into()
}
