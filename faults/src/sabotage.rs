//! Deliberate defects: what an operator that had them would send. The sweeps must notice each.

use axum::{
    body::Bytes,
    http::{Method, Uri, request::Parts},
};
use breakwater_fake_apiserver::FakeApiServer;
pub use breakwater_operator::sabotage::Defect as Inside;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    backend::backend_pods,
    lab::{EXPERIMENTS, NAMESPACE},
};

/// Something that an operator might do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A delete names neither uid nor version.
    NoPreconditions,
    /// Another pod is killed than the one that is written down.
    AnotherVictim,
    /// A status is written whatever has been written since it was read.
    NoLock,
    /// The cursor is written without the transitions that it covers.
    CursorApart,
    /// What was killed is told as failed.
    FalseOutcome,
    /// Each write begins the run anew.
    RunAnew,
    /// Pods are killed right before their kills are written down.
    KillBeforeIntent,
    /// Kills are sent again by the client itself, as kube's does by default.
    RetryLeftOn,
    /// One in the operator's own decisions.
    Inside(Inside),
}

/// All of them.
pub const DEFECTS: [Defect; 13] = [
    Defect::NoPreconditions,
    Defect::AnotherVictim,
    Defect::NoLock,
    Defect::CursorApart,
    Defect::FalseOutcome,
    Defect::RunAnew,
    Defect::KillBeforeIntent,
    Defect::RetryLeftOn,
    Defect::Inside(Inside::ChooseAgain),
    Defect::Inside(Inside::NamesForUids),
    Defect::Inside(Inside::TrustedStatus),
    Defect::Inside(Inside::OldPermission),
    Defect::Inside(Inside::CatchUpBurst),
];

impl Defect {
    /// The request as an operator with the defect sends it.
    pub fn apply(self, server: &FakeApiServer, parts: &mut Parts, body: Bytes) -> Bytes {
        let Ok(mut sent) = serde_json::from_slice::<Value>(&body) else { return body };
        let writes_status = parts.method == Method::PUT && parts.uri.path().ends_with("/status");
        match self {
            Self::NoPreconditions if parts.method == Method::DELETE => {
                sent.as_object_mut().map(|options| options.remove("preconditions"));
            }
            Self::AnotherVictim if parts.method == Method::DELETE => {
                let pods = backend_pods(server);
                let other = pods.iter().find(|pod| pod["metadata"]["uid"] != sent["preconditions"]["uid"]);
                if let Some(metadata) = other.map(|pod| pod["metadata"].clone()) {
                    sent["preconditions"] =
                        json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
                    let name = metadata["name"].as_str().unwrap_or_default();
                    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}?");
                    parts.uri = path.parse::<Uri>().unwrap_or_default();
                }
            }
            Self::NoLock if writes_status => {
                let stored = server.call("sabotage", Method::GET, &format!("{EXPERIMENTS}/outage"), &Value::Null);
                if let Ok(stored) = stored {
                    sent["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
                }
            }
            Self::CursorApart if writes_status => {
                for replica in listed(&mut sent, "clients") {
                    replica["transitions"] = json!([]);
                }
            }
            Self::FalseOutcome if writes_status => outcomes(&mut sent, "Deleted", "Failed"),
            Self::RunAnew if writes_status => {
                let version = sent["metadata"]["resourceVersion"].as_str().unwrap_or_default().as_bytes();
                let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, version);
                if let Some(run) = sent.pointer_mut("/status/run/id") {
                    *run = json!(id.to_string());
                }
            }
            Self::KillBeforeIntent if writes_status => {
                for kill in listed(&mut sent, "kills").filter(|kill| kill["outcome"] == "Planned") {
                    let path =
                        format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", kill["pod"].as_str().unwrap_or_default());
                    let options = json!({"gracePeriodSeconds": 0,
                        "preconditions": {"uid": kill["uid"], "resourceVersion": kill["resourceVersion"]}});
                    drop(server.call("operator-0", Method::DELETE, &path, &options));
                }
            }
            _ => return body,
        }
        Bytes::from(sent.to_string())
    }
}

fn listed<'a>(sent: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    let found = sent.pointer_mut(&format!("/status/run/{list}"));
    found.and_then(Value::as_array_mut).into_iter().flatten()
}

fn outcomes(sent: &mut Value, from: &str, to: &str) {
    for kill in listed(sent, "kills") {
        if kill["outcome"] == from {
            kill["outcome"] = json!(to);
        }
    }
}
