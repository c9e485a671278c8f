//! Every pod meets the "restricted" level of Kubernetes' pod security standards, and somewhat more.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use serde_json::{Value, json};

use crate::{
    helm::{pods, template},
    objects::CASES,
};

fn each_pod(check: impl Fn(&str, &Value)) {
    for args in CASES {
        let objects = template(args);
        let pods = pods(&objects);
        assert!(pods.len() >= 2, "{args:?} renders only {pods:?}");
        pods.iter().for_each(|(title, spec)| check(&format!("{args:?} {title}"), spec));
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().filter_map(|field| spec[field].as_array()).flatten()
}

#[test]
fn pods_are_restricted() {
    each_pod(|pod, spec| {
        let wanted = json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}
        });
        assert_eq!(spec["securityContext"], wanted, "{pod}");
        for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
            assert!(spec[field].is_null(), "{pod} sets {field}");
        }
    });
}

#[test]
fn containers_are_restricted_and_cannot_write() {
    each_pod(|pod, spec| {
        for container in containers(spec) {
            let wanted = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
            });
            assert_eq!(container["securityContext"], wanted, "{pod}");
            let ports = container["ports"].as_array().cloned().unwrap_or_default();
            assert!(ports.iter().all(|port| port["hostPort"].is_null()), "{pod} takes a port of the node");
        }
    });
}

#[test]
fn containers_say_what_they_need_and_what_they_may_take() {
    each_pod(|pod, spec| {
        for container in containers(spec) {
            for field in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
                assert!(container.pointer(field).is_some(), "{pod} lacks {field}");
            }
        }
    });
}

#[test]
fn services_are_probed() {
    each_pod(|pod, spec| {
        if pod.contains(" Pod ") {
            return; // The test's pod ends by itself.
        }
        for container in containers(spec) {
            for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
                assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "http"}), "{pod} {probe}");
            }
            assert_eq!(container["ports"][0]["name"], "http", "{pod}");
        }
    });
}
