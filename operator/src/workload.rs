//! Workloads: which pods they own, and how one is restarted.

use std::collections::HashMap;

use breakwater_crds::{Workload, WorkloadKind};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::{
    decide::Victim,
    error::{Error, in_time},
    world::{Target, WorkloadView, controller},
};

/// The annotation by which `kubectl rollout restart` makes a new version of a workload's pods.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Asks whom pods belong to; each ReplicaSet is asked about once.
pub struct Owners<'a> {
    workload: &'a Workload,
    replica_sets: Api<ReplicaSet>,
    known: HashMap<String, bool>,
}

impl<'a> Owners<'a> {
    /// Of one workload in one namespace.
    pub fn new(client: Client, namespace: &str, workload: &'a Workload) -> Self {
        Self { workload, replica_sets: Api::namespaced(client, namespace), known: HashMap::new() }
    }

    /// Whether the workload controls the pod, itself or through a ReplicaSet.
    ///
    /// # Errors
    /// Where the API server does not say.
    pub async fn own(&mut self, pod: &impl Resource) -> Result<bool, Error> {
        let Some(owner) = controller(pod).filter(|owner| owner.api_version == "apps/v1") else { return Ok(false) };
        let wanted = format!("{:?}", self.workload.kind);
        if owner.kind == wanted {
            return Ok(owner.name == self.workload.name);
        }
        if owner.kind != "ReplicaSet" || self.workload.kind != WorkloadKind::Deployment {
            return Ok(false);
        }
        if let Some(known) = self.known.get(&owner.uid) {
            return Ok(*known);
        }
        let set = in_time(self.replica_sets.get_metadata_opt(&owner.name)).await?;
        let set = set.filter(|set| set.metadata.uid.as_ref() == Some(&owner.uid));
        let above = set.as_ref().and_then(|set| controller(set));
        let owned = above.is_some_and(|above| above.kind == wanted && above.name == self.workload.name);
        self.known.insert(owner.uid.clone(), owned);
        Ok(owned)
    }
}

fn api(client: Client, namespace: &str, workload: &Workload) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", &format!("{:?}", workload.kind)));
    Api::namespaced_with(client, namespace, &kind)
}

/// A workload as it stands; `None` if there is none of that name.
///
/// # Errors
/// Where the API server does not say.
pub async fn view(client: Client, namespace: &str, workload: &Workload) -> Result<Option<WorkloadView>, Error> {
    let found = in_time(api(client, namespace, workload).get_opt(&workload.name)).await?;
    Ok(found.map(|object| WorkloadView {
        settled: is_settled(workload.kind, object.metadata.generation, &object.data),
        target: Target {
            name: workload.name.clone(),
            uid: object.metadata.uid.unwrap_or_default(),
            resource_version: object.metadata.resource_version,
            node: None,
            ready: true,
            alive: object.metadata.deletion_timestamp.is_none(),
            exempt: false,
            owner: None,
        },
    }))
}

/// Whether its newest version is rolled out, as `kubectl rollout status` decides it.
fn is_settled(kind: WorkloadKind, generation: Option<i64>, object: &Value) -> bool {
    let status = |field: &str| object["status"][field].as_i64().unwrap_or(0);
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    if status("observedGeneration") < generation.unwrap_or(0) {
        return false;
    }
    match kind {
        WorkloadKind::DaemonSet => {
            let wanted = status("desiredNumberScheduled");
            status("updatedNumberScheduled") == wanted && status("numberAvailable") == wanted
        }
        WorkloadKind::StatefulSet => {
            let newest = object["status"]["currentRevision"] == object["status"]["updateRevision"];
            newest && status("readyReplicas") == wanted && status("replicas") == wanted
        }
        WorkloadKind::Deployment | WorkloadKind::ReplicaSet => {
            ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| status(field) == wanted)
        }
    }
}

/// Restarts a workload, if it is still the one of this uid; `None` if it is not there any more. The moment is the one of the plan,
/// so that a restart which is sent twice is one.
///
/// # Errors
/// Where the API server refuses or does not answer.
pub async fn restart(
    client: Client,
    namespace: &str,
    workload: &Workload,
    uid: &str,
    at: Timestamp,
) -> Result<Option<()>, Error> {
    let workloads = api(client, namespace, workload);
    let Some(found) = in_time(workloads.get_opt(&workload.name)).await? else { return Ok(None) };
    if found.metadata.uid.as_deref() != Some(uid) || found.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let patch = json!({
        "metadata": {"uid": uid, "resourceVersion": found.metadata.resource_version},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at.to_string()}}}},
    });
    in_time(workloads.patch(&workload.name, &PatchParams::default(), &Patch::Merge(patch))).await?;
    Ok(Some(()))
}

/// Whether the restart that is written down as this victim was done already.
///
/// # Errors
/// Where the API server refuses or does not answer.
pub async fn is_restarted(
    client: Client,
    namespace: &str,
    workload: &Workload,
    victim: &Victim,
) -> Result<bool, Error> {
    let found = in_time(api(client, namespace, workload).get_opt(&workload.name)).await?;
    let found = found.filter(|found| found.metadata.uid.as_deref() == Some(&victim.uid));
    let at = victim.planned_at.to_string();
    Ok(found.is_some_and(|found| found.data["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] == at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_over_when_every_pod_is_of_the_newest_version_and_serves() {
        use WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let deployment = |generation, replicas, updated, available| {
            json!({"spec": {"replicas": 3}, "status": {"observedGeneration": generation, "replicas": replicas,
                "updatedReplicas": updated, "availableReplicas": available}})
        };
        let stateful = |current, ready| {
            json!({"spec": {"replicas": 2}, "status": {"observedGeneration": 2, "currentRevision": current,
                "updateRevision": "b", "replicas": 2, "readyReplicas": ready}})
        };
        let daemon = |updated, available| {
            json!({"status": {"observedGeneration": 2, "desiredNumberScheduled": 4,
                "updatedNumberScheduled": updated, "numberAvailable": available}})
        };
        for (kind, object, settled) in [
            (Deployment, deployment(2, 3, 3, 3), true),
            (Deployment, deployment(1, 3, 3, 3), false),
            (Deployment, deployment(2, 4, 3, 3), false),
            (Deployment, deployment(2, 3, 2, 3), false),
            (Deployment, deployment(2, 3, 3, 2), false),
            (StatefulSet, stateful("b", 2), true),
            (StatefulSet, stateful("a", 2), false),
            (StatefulSet, stateful("b", 1), false),
            (DaemonSet, daemon(4, 4), true),
            (DaemonSet, daemon(3, 4), false),
            (DaemonSet, daemon(4, 3), false),
        ] {
            assert_eq!(is_settled(kind, Some(2), &object), settled, "{kind:?} {object}");
        }
    }
}
