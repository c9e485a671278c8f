//! A Deployment, and the controller that rolls its newest version out, one pod at a time.

use std::sync::Arc;

use axum::http::Method;
use breakwater_fake_apiserver::FakeApiServer;
use serde_json::{Value, json};

use crate::{backend::is_ready, lab::PODS};

/// Where `kubectl rollout restart` writes down that there is a new version.
pub const RESTARTED_AT: &str = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
/// Its name.
pub const NAME: &str = "backend";
const APPS: &str = "/apis/apps/v1/namespaces/shop";

/// The Deployment of the backend's pods.
pub struct Deployment {
    /// The ReplicaSet of its newest version: name and uid.
    set: (String, String),
    /// What makes that version another one than the one before.
    version: Value,
    told: Value,
}

impl Deployment {
    /// One that has no pod yet.
    pub fn create(server: &FakeApiServer, replicas: usize) -> Self {
        let labels = json!({"app": "backend"});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": []}}});
        let body = json!({"metadata": {"name": NAME}, "spec": spec});
        let created = server.call("admin", Method::POST, &format!("{APPS}/deployments"), &body);
        let created = created.expect("it is created");
        Self { set: replica_set(server, &created, 1), version: Value::Null, told: Value::Null }
    }

    /// What owns the pods of the newest version.
    pub fn owner(&self) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": self.set.0, "uid": self.set.1, "controller": true})
    }

    /// Time goes on, and these are all the pods that there are.
    pub fn live(&mut self, server: &FakeApiServer, pods: &[Arc<Value>]) {
        let path = format!("{APPS}/deployments/{NAME}");
        let Ok(deployment) = server.call("controller", Method::GET, &path, &Value::Null) else { return };
        let generation = &deployment["metadata"]["generation"];
        let version = deployment.pointer(RESTARTED_AT).cloned().unwrap_or_default();
        if version != self.version {
            self.set = replica_set(server, &deployment, generation.as_i64().unwrap_or(0));
            self.version = version;
        }
        let newest = |pod: &&Arc<Value>| pod["metadata"]["ownerReferences"][0]["uid"] == *self.set.1;
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(0);
        let all_ready = pods.iter().filter(|pod| is_ready(pod)).count() as u64 >= wanted;
        if let Some(old) = pods.iter().find(|pod| !newest(pod)).filter(|_| all_ready) {
            let name = old["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{PODS}/{name}");
            drop(server.call("controller", Method::DELETE, &path, &json!({"gracePeriodSeconds": 0})));
        }
        let available = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({"observedGeneration": generation, "replicas": pods.len(), "readyReplicas": available,
            "updatedReplicas": pods.iter().filter(newest).count(), "availableReplicas": available});
        if status != self.told {
            let told = server.call("controller", Method::PATCH, &format!("{path}/status"), &json!({"status": status}));
            self.told = told.map_or(Value::Null, |_| status);
        }
    }
}

fn replica_set(server: &FakeApiServer, deployment: &Value, number: i64) -> (String, String) {
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME, "uid": deployment["metadata"]["uid"],
        "controller": true});
    let name = format!("{NAME}-v{number}");
    let body = json!({"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {}});
    // In a namespace that ends there is none.
    let created = server.call("controller", Method::POST, &format!("{APPS}/replicasets"), &body).unwrap_or_default();
    (name, created["metadata"]["uid"].as_str().unwrap_or_default().into())
}
