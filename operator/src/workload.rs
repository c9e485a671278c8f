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
    world::{Target, WorkloadView, controller, template_exemption},
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
        restarted_at: restarted_at(&object.data).and_then(|at| at.parse().ok()),
        refusal: refusal(workload, &object.data),
        target: Target::from_workload(&workload.name, object.metadata),
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
            // With a partition the two revisions never become one: the pods below it keep theirs.
            let newest = status("updatedReplicas") >= wanted - partition(object);
            newest && status("readyReplicas") == wanted && status("replicas") == wanted
        }
        WorkloadKind::Deployment | WorkloadKind::ReplicaSet => {
            ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| status(field) == wanted)
        }
    }
}

/// The pods of a StatefulSet that no rollout replaces.
fn partition(object: &Value) -> i64 {
    object["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0)
}

/// Why it is never restarted; or why a restart would replace none of its pods, and what to do instead: a run would wait for them
/// until its timeout.
fn refusal(workload: &Workload, object: &Value) -> Option<String> {
    let spec = &object["spec"];
    let of = format!("{:?} {}", workload.kind, workload.name);
    if let Some(why) = template_exemption(&spec["template"]) {
        return Some(format!("spec.kill.method RolloutRestart never restarts {of}: {why}"));
    }
    let by_hand = spec["updateStrategy"]["type"] == "OnDelete";
    let all_kept = partition(object) > 0 && partition(object) >= spec["replicas"].as_i64().unwrap_or(1);
    let (why, instead) = match workload.kind {
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet if by_hand => {
            ("its updateStrategy is OnDelete", "make that RollingUpdate, or write method: Delete")
        }
        WorkloadKind::StatefulSet if all_kept => {
            ("the partition of its rollingUpdate leaves all of them out", "lower that, or write method: Delete")
        }
        WorkloadKind::Deployment if spec["paused"] == true => ("it is paused", "resume it with kubectl rollout resume"),
        _ => return None,
    };
    Some(format!("spec.kill.method RolloutRestart would replace no pod of {of}, as {why}: {instead}"))
}

/// What became of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It was sent, and taken.
    Sent,
    /// The workload is not there any more.
    Gone,
    /// It is never restarted, and why.
    Exempt(&'static str),
}

/// Restarts a workload, if it is still the one of this uid and may be restarted. The moment is the one of the plan, so that a restart
/// which is sent twice is one.
///
/// # Errors
/// Where the API server refuses or does not answer.
pub async fn restart(
    client: Client,
    namespace: &str,
    workload: &Workload,
    uid: &str,
    at: Timestamp,
) -> Result<Restart, Error> {
    let workloads = api(client, namespace, workload);
    let Some(found) = in_time(workloads.get_opt(&workload.name)).await? else { return Ok(Restart::Gone) };
    if found.metadata.uid.as_deref() != Some(uid) || found.metadata.deletion_timestamp.is_some() {
        return Ok(Restart::Gone);
    }
    if let Some(why) = template_exemption(&found.data["spec"]["template"]) {
        return Ok(Restart::Exempt(why));
    }
    let patch = json!({
        "metadata": {"uid": uid, "resourceVersion": found.metadata.resource_version},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at.to_string()}}}},
    });
    in_time(workloads.patch(&workload.name, &PatchParams::default(), &Patch::Merge(patch))).await?;
    Ok(Restart::Sent)
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
    Ok(found.is_some_and(|found| restarted_at(&found.data) == Some(&victim.planned_at.to_string())))
}

fn restarted_at(workload: &Value) -> Option<&str> {
    workload["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT].as_str()
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
        let stateful = |partition, updated, ready| {
            let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
            let current = if partition == 0 && updated == 3 { "b" } else { "a" };
            json!({"spec": {"replicas": 3, "updateStrategy": strategy}, "status": {"observedGeneration": 2,
                "currentRevision": current, "updateRevision": "b", "replicas": 3, "updatedReplicas": updated,
                "readyReplicas": ready}})
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
            (StatefulSet, stateful(0, 3, 3), true),
            (StatefulSet, stateful(0, 2, 3), false),
            (StatefulSet, stateful(0, 3, 2), false),
            (StatefulSet, stateful(2, 1, 3), true),
            (StatefulSet, stateful(2, 0, 3), false),
            (StatefulSet, stateful(2, 1, 2), false),
            (DaemonSet, daemon(4, 4), true),
            (DaemonSet, daemon(3, 4), false),
            (DaemonSet, daemon(4, 3), false),
        ] {
            assert_eq!(is_settled(kind, Some(2), &object), settled, "{kind:?} {object}");
        }
    }

    #[test]
    fn what_a_restart_leaves_as_it_is_is_refused_with_what_to_do() {
        use WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let by_hand = json!({"spec": {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}});
        let partition = |partition: i64| {
            let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
            json!({"spec": {"replicas": 3, "updateStrategy": strategy}})
        };
        for (kind, object, words) in [
            (StatefulSet, &by_hand, Some("updateStrategy is OnDelete")),
            (DaemonSet, &by_hand, Some("make that RollingUpdate, or write method: Delete")),
            (StatefulSet, &partition(3), Some("partition of its rollingUpdate leaves all of them out")),
            (StatefulSet, &partition(2), None),
            (StatefulSet, &partition(0), None),
            (Deployment, &json!({"spec": {"paused": true}}), Some("kubectl rollout resume")),
            (Deployment, &json!({"spec": {"paused": false, "strategy": {"type": "Recreate"}}}), None),
            (
                Deployment,
                &json!({"spec": {"template": {"spec": {"priorityClassName": "system-node-critical"}}}}),
                Some("never restarts Deployment backend: the priority of its pods says"),
            ),
        ] {
            let said = refusal(&Workload { kind, name: "backend".into() }, object);
            assert_eq!(said.is_some(), words.is_some(), "{kind:?} {object}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{kind:?} {object}");
        }
    }
}
