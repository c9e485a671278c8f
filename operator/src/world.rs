//! What the operator sees around an experiment: a plain snapshot, the input of `decide`.

use std::collections::BTreeMap;

use breakwater_breaker::{State, Transition};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;
use serde_json::Value;
use uuid::Uuid;

/// One look at the cluster, taken for one decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The pods that the target's selector matches.
    pub targets: Vec<Target>,
    /// The clients, in the order of the spec.
    pub clients: Vec<ClientView>,
    /// The workload that is to be restarted, where the experiment's method is that.
    pub workload: Option<WorkloadView>,
    /// Other experiments of the namespace with a run under way and a target in common; looked for before a run's first kill only.
    pub rivals: Vec<Rival>,
    /// Why no experiment may run now: the operator-wide halt, or a namespace that takes no part any more.
    pub halted: Option<String>,
    /// Why no run can come of the spec: a selector that is none, which the schema refuses at apply where it can, or a workload that
    /// is never restarted, or whose pods no restart replaces.
    pub invalid: Option<String>,
    /// Why the pods could not be listed this time.
    pub unseen: Option<String>,
}

/// A pod that may be killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version when it was listed.
    pub resource_version: Option<String>,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// It serves: its condition Ready is true.
    pub ready: bool,
    /// Since when it does, by its node's clock and in whole seconds.
    pub ready_since: Option<Timestamp>,
    /// It neither ends nor has ended.
    pub alive: bool,
    /// It is never killed, whatever selects it: see [`exemption`].
    pub exempt: bool,
    /// Uid of the object that controls it.
    pub owner: Option<String>,
}

/// A workload as a target: what is restarted is not a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadView {
    /// Its name and uid.
    pub target: Target,
    /// Its newest version is rolled out: every pod that is to be of it is, and all are ready.
    pub settled: bool,
    /// When it was restarted last, by whomever, as far as its annotation is a moment.
    pub restarted_at: Option<Timestamp>,
    /// Why it is never restarted; or why a restart would replace none of its pods, and what to do instead.
    pub refusal: Option<String>,
}

/// Another experiment with a run under way and a target in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its run's ticket, if it has told it yet.
    pub ticket: Option<u64>,
}

/// A client and its ready replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientView {
    /// Its name in the spec.
    pub name: String,
    /// Its replicas that are ready, and those that are watched and still there.
    pub replicas: Vec<ReplicaView>,
}

/// A replica as its status endpoint shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaView {
    /// Name of its pod.
    pub pod: String,
    /// Uid of its pod.
    pub uid: String,
    /// When it last answered, or when the operator began to ask it.
    pub heard_at: Timestamp,
    /// Its last answer, if there was any.
    pub report: Option<Report>,
    /// Why its last answer failed, if it did.
    pub error: Option<String>,
}

/// What a replica said of the breaker in question.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its process.
    pub epoch: Uuid,
    /// The breaker's state.
    pub state: State,
    /// Failures in a row up to now.
    pub failures: u64,
    /// Sequence number of its newest transition.
    pub last_seq: u64,
    /// Calls let through or refused since the process's start.
    pub calls: u64,
    /// Of these, those that failed or were refused.
    pub errors: u64,
    /// Transitions after the cursor that is recorded, or all that it keeps; in order, and of very many the oldest.
    pub transitions: Vec<Seen>,
}

/// A transition as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What the client recorded.
    pub transition: Transition,
    /// When it happened, by the operator's clock.
    pub aligned_at: Timestamp,
}

impl Target {
    /// It lives, and nothing exempts it.
    pub fn may_be_killed(&self) -> bool {
        self.alive && !self.exempt
    }

    /// What matters of a workload: what is asked of pods alone has no part in it.
    pub fn from_workload(name: &str, metadata: ObjectMeta) -> Self {
        Self {
            name: name.into(),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version,
            node: None,
            ready: true,
            ready_since: None,
            alive: metadata.deletion_timestamp.is_none(),
            exempt: false,
            owner: None,
        }
    }

    /// What matters of a pod; `own` if the operator runs in it.
    pub fn from_pod(pod: &v1::Pod, own: bool) -> Self {
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            exempt: own || exemption(pod).is_some(),
            resource_version: pod.metadata.resource_version.clone(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            ready: is_ready(pod),
            ready_since: ready_condition(pod).and_then(|ready| Some(ready.last_transition_time.as_ref()?.0)),
            alive: pod.metadata.deletion_timestamp.is_none() && !has_ended(pod),
            owner: controller(pod).map(|owner| owner.uid.clone()),
        }
    }
}

/// A pod without what no decision asks for: of thousands the rest would fill the memory.
pub fn needed(pod: v1::Pod) -> v1::Pod {
    let meta = pod.metadata;
    let mirror = meta.annotations.and_then(|mut all| all.remove_entry(MIRROR));
    let metadata = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        labels: meta.labels,
        annotations: mirror.map(|mirror| BTreeMap::from([mirror])),
        deletion_timestamp: meta.deletion_timestamp,
        owner_references: meta.owner_references,
        ..ObjectMeta::default()
    };
    let container = |one: v1::Container| v1::Container { name: one.name, ports: one.ports, ..Default::default() };
    let spec = pod.spec.map(|spec| v1::PodSpec {
        node_name: spec.node_name,
        host_network: spec.host_network,
        priority: spec.priority,
        containers: spec.containers.into_iter().map(container).collect(),
        ..Default::default()
    });
    let ready = |all: Vec<v1::PodCondition>| all.into_iter().filter(|one| one.type_ == "Ready").collect();
    let status = pod.status.map(|status| v1::PodStatus {
        phase: status.phase,
        pod_ip: status.pod_ip,
        host_ip: status.host_ip,
        host_ips: status.host_ips,
        conditions: status.conditions.map(ready),
        ..Default::default()
    });
    v1::Pod { metadata, spec, status }
}

/// The object that controls a pod or another object.
pub fn controller<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The pod's condition Ready is true, and it is not on its way out.
pub fn is_ready(pod: &v1::Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && ready_condition(pod).is_some()
}

/// The pod's condition Ready, where it is true.
fn ready_condition(pod: &v1::Pod) -> Option<&v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|one| one.type_ == "Ready" && one.status == "True")
}

/// Its containers have run to their end and are not started again.
pub fn has_ended(pod: &v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// A pod of this priority or above is critical to the cluster.
/// <https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/>
const CRITICAL_PRIORITY: i32 = 2_000_000_000;
/// The classes that have such a priority; the API server lets no other have one.
const CRITICAL_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];
/// Its value names what the kubelet mirrors: <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror>
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why a pod is never killed, if it is one of those: an operator's own, one that is critical to the cluster, or the mirror of
/// a static pod, which only its kubelet can end.
pub fn exemption(pod: &v1::Pod) -> Option<&'static str> {
    if is_operator(|key| pod.metadata.labels.as_ref()?.get(key).map(String::as_str)) {
        return Some("it is an operator's own pod");
    }
    if pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|priority| priority >= CRITICAL_PRIORITY) {
        return Some("its priority says that it is critical to the cluster");
    }
    if pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return Some("it is the mirror of a static pod");
    }
    None
}

/// Why a workload is never restarted, if by their template its pods are of those that are never killed.
pub fn template_exemption(template: &Value) -> Option<&'static str> {
    if is_operator(|key| template["metadata"]["labels"][key].as_str()) {
        return Some("its pods are an operator's own");
    }
    let spec = &template["spec"];
    let class = spec["priorityClassName"].as_str().is_some_and(|class| CRITICAL_CLASSES.contains(&class));
    if class || spec["priority"].as_i64().is_some_and(|priority| priority >= CRITICAL_PRIORITY.into()) {
        return Some("the priority of its pods says that they are critical to the cluster");
    }
    None
}

/// By the labels that the chart gives its pods.
fn is_operator<'a>(label: impl Fn(&str) -> Option<&'a str>) -> bool {
    label("app.kubernetes.io/component") == Some("operator") && label("app.kubernetes.io/part-of") == Some("breakwater")
}

/// A pod that serves, for tests: of one that says no more, as much is known as of a workload.
#[cfg(test)]
pub fn target(name: &str) -> Target {
    Target::from_workload(name, ObjectMeta { uid: Some(name.into()), ..ObjectMeta::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn some_pods_are_never_killed() {
        for (pod, words) in [
            (json!({"metadata": {"labels": {"app": "backend"}}, "spec": {"priority": 1_000_000_000}}), None),
            (json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "breakwater"}}}), None),
            (json!({"metadata": {"labels": {"app.kubernetes.io/component": "operator"}}}), None),
            (
                json!({"metadata": {"labels":
                    {"app.kubernetes.io/part-of": "breakwater", "app.kubernetes.io/component": "operator"}}}),
                Some("an operator's own"),
            ),
            (json!({"spec": {"priority": 2_000_000_000}}), Some("critical")),
            (json!({"spec": {"priority": 2_000_001_000}}), Some("critical")),
            (json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "8c1f"}}}), Some("mirror")),
        ] {
            let parsed: v1::Pod = serde_json::from_value(pod.clone()).unwrap();
            let said = exemption(&parsed);
            assert_eq!(said.is_some(), words.is_some(), "{pod}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{pod}: {said:?}");
            assert_eq!(Target::from_pod(&parsed, false).exempt, words.is_some(), "{pod}");
        }
        assert!(Target::from_pod(&v1::Pod::default(), true).exempt, "the operator's own pod, by its name");
    }

    #[test]
    fn some_workloads_are_never_restarted() {
        let labels = |labels: Value| json!({"metadata": {"labels": labels}, "spec": {"containers": []}});
        let spec = |spec: Value| json!({"metadata": {"labels": {"app": "backend"}}, "spec": spec});
        for (template, words) in [
            (Value::Null, None),
            (labels(json!({"app.kubernetes.io/part-of": "breakwater"})), None),
            (labels(json!({"app.kubernetes.io/component": "operator"})), None),
            (
                labels(json!({"app.kubernetes.io/part-of": "breakwater",
                    "app.kubernetes.io/component": "operator"})),
                Some("an operator's own"),
            ),
            (spec(json!({"priorityClassName": "high", "priority": 1_000_000_000})), None),
            (spec(json!({"priorityClassName": "system-cluster-critical"})), Some("critical")),
            (spec(json!({"priorityClassName": "system-node-critical"})), Some("critical")),
            (spec(json!({"priority": 2_000_000_000})), Some("critical")),
        ] {
            let said = template_exemption(&template);
            assert_eq!(said.is_some(), words.is_some(), "{template}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{template}: {said:?}");
        }
    }
}
