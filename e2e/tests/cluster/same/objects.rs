//! What the requests are about, and what they send.

use serde_json::{Value, json};

use super::{DEPLOYMENTS, EXPERIMENTS, PODS};

/// Deletes with right, wrong and no preconditions, and with more or less time.
pub fn options(kind: usize, base: &Value, flavour: u8) -> Value {
    let mut options = json!({});
    // A Deployment's version changes whenever its controller writes.
    let version = if kind == DEPLOYMENTS { Value::Null } else { base["metadata"]["resourceVersion"].clone() };
    match flavour % 4 {
        0 => options["preconditions"] = json!({"uid": "11111111-2222-3333-4444-555555555555"}),
        1 => {
            options["preconditions"] = json!({"uid": base["metadata"]["uid"], "resourceVersion": version});
        }
        2 => options["preconditions"] = json!({"resourceVersion": version}),
        _ => {}
    }
    match flavour / 4 % 4 {
        0 => options["gracePeriodSeconds"] = json!(0),
        1 => options["gracePeriodSeconds"] = json!(20),
        _ => {}
    }
    options
}

/// A status: without a run, with one that is under way, or with one that has ended.
pub fn status(flavour: u8) -> Value {
    let message = (flavour % 3).to_string();
    let mut status = json!({"message": message, "runs": 0, "missedRuns": 0, "historyDropped": 0});
    let run = json!({"id": "11111111-2222-3333-4444-555555555555", "startedAt": "2026-01-01T00:00:00Z"});
    match flavour / 3 % 3 {
        0 => {}
        1 => status["run"] = run,
        _ => {
            status["run"] = run;
            status["run"]["completedAt"] = json!("2026-01-01T00:01:00Z");
        }
    }
    status
}

/// What restarts a workload, as a merge patch.
pub fn restart(at: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": at}}}}})
}

/// An object of a kind, as it is created.
pub fn object(kind: usize, name: &str, flavour: u8) -> Value {
    let (prefix, _) = name.rsplit_once('-').unwrap_or((name, ""));
    let metadata = json!({"name": name, "labels": {"n": "1", "of": prefix}});
    match kind {
        // No scheduler looks at it, and its node is none, which the pod collector only acts on after 40 s: nobody else writes to it.
        PODS => {
            let node = if flavour.is_multiple_of(2) { json!(format!("no-node-of-{prefix}")) } else { Value::Null };
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
                "nodeName": node, "schedulerName": "none", "terminationGracePeriodSeconds": 10,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none", "securityContext": {"allowPrivilegeEscalation": false,
                    "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}})
        }
        EXPERIMENTS => {
            json!({"apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": metadata, "spec": {
            "historyLimit": 5, "suspend": true, "target": {"selector": {"matchLabels": {"app": "none"}}, "pods": {"all": {}}},
            "kill": {"holdFor": "5s"},
            "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "none"}}, "port": 8080, "breaker": "b"}]}}})
        }
        // It is paused and has no pods: its controller writes its status and nothing else.
        DEPLOYMENTS => {
            let template = json!({"metadata": {"labels": {"app": name}, "annotations": {"kept": "yes"}},
                "spec": {"containers": [{"name": "main", "image": "none"}]}});
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
                "paused": true, "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}})
        }
        _ => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": "0"}}),
    }
}
