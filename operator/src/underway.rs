//! The runs that are under way in a namespace: before a run kills for the first time it looks for others that would kill the same
//! pods. They are read afresh, by a list that brings no idle experiment and that all share who want it at the same moment.

use std::sync::Arc;

use breakwater_crds::ChaosExperiment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DeserializeGuard, Object},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{error::Error, observe::every, together::Together};

/// Has a run, and that has not ended. The definition names both as selectable fields.
pub const UNDER_WAY: &str = "status.run.id!=,status.run.completedAt=";

/// A run under way, as far as others must know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Underway {
    /// The experiment's name.
    pub name: String,
    /// The experiment's uid.
    pub uid: String,
    /// Which pods it kills.
    pub selector: LabelSelector,
    /// Its ticket, if it has told it yet.
    pub ticket: Option<u64>,
}

/// Reads them.
pub struct Runs {
    client: Client,
    reads: Together<Arc<Vec<Underway>>>,
}

/// Of another experiment only this is read.
type Other = Object<Spec, Status>;

#[derive(Clone, Debug, Deserialize)]
struct Spec {
    target: Target,
    kill: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    selector: LabelSelector,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    run: Option<Run>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    ticket: Option<u64>,
    completed_at: Option<IgnoredAny>,
}

impl Runs {
    /// Nothing is read yet.
    pub fn new(client: Client) -> Self {
        Self { client, reads: Together::default() }
    }

    /// All that kill and are under way in a namespace.
    ///
    /// # Errors
    /// Where the API server does not say.
    pub async fn of(&self, namespace: &str) -> Result<Arc<Vec<Underway>>, Error> {
        self.reads.read(namespace, self.list(namespace)).await
    }

    async fn list(&self, namespace: &str) -> Result<Arc<Vec<Underway>>, Error> {
        let kind = ApiResource::erase::<ChaosExperiment>(&());
        let experiments: Api<DeserializeGuard<Other>> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let mut found = every(&experiments, ListParams::default().fields(UNDER_WAY), underway).await;
        if found.as_ref().is_err_and(Error::is_bad_request) {
            // An API server before 1.31, or a definition of before, has no such fields.
            found = every(&experiments, ListParams::default(), underway).await;
        }
        Ok(Arc::new(found?))
    }
}

fn underway(experiment: DeserializeGuard<Other>) -> Option<Underway> {
    // What is being deleted kills no more, though a finalizer may keep it for ever.
    let experiment = experiment.0.ok().filter(|experiment| experiment.metadata.deletion_timestamp.is_none())?;
    let run = experiment.status.as_ref()?.run.as_ref().filter(|run| run.completed_at.is_none())?;
    experiment.spec.kill.as_ref()?;
    Some(Underway {
        name: experiment.name_any(),
        uid: experiment.uid()?,
        selector: experiment.spec.target.selector.clone(),
        ticket: run.ticket,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kills_no_more_stands_in_nobodys_way() {
        let with = |change: &str, value: serde_json::Value| {
            let mut experiment = json!({
                "metadata": {"name": "outage", "uid": "7"},
                "spec": {"target": {"selector": {}}, "kill": {}},
                "status": {"run": {"ticket": 3}}
            });
            *experiment.pointer_mut(change).unwrap() = value;
            underway(serde_json::from_value(experiment).unwrap()).map(|found| (found.uid, found.ticket))
        };
        assert_eq!(with("/metadata/name", json!("outage")), Some(("7".into(), Some(3))));
        assert_eq!(with("/status/run", json!({})), Some(("7".into(), None)), "it has not told its ticket yet");
        let now = "2026-12-01T09:00:00Z";
        for (case, change, value) in [
            ("it ended", "/status/run", json!({"completedAt": now})),
            ("it never began", "/status/run", json!(null)),
            ("it does not kill", "/spec/kill", json!(null)),
            ("it is being deleted", "/metadata", json!({"name": "outage", "uid": "7", "deletionTimestamp": now})),
        ] {
            assert_eq!(with(change, value), None, "{case}");
        }
    }
}
