//! What the operator may do, rule by rule.

use serde_json::{Value, json};

use crate::{
    helm::{find, template},
    objects::CASES,
};

fn rules(restarts: bool, everywhere: bool) -> Value {
    let mut rules = json!([
        {"apiGroups": ["chaos.breakwater.dev"], "resources": ["chaosexperiments"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": ["chaos.breakwater.dev"], "resources": ["chaosexperiments/status"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"]},
    ]);
    if restarts {
        let workloads = ["deployments", "statefulsets", "daemonsets"];
        let workloads = json!({"apiGroups": ["apps"], "resources": workloads, "verbs": ["get", "patch"]});
        rules.as_array_mut().expect("a list").insert(5, workloads);
    }
    if everywhere {
        let namespaces = json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]});
        rules.as_array_mut().expect("a list").push(namespaces);
    }
    rules
}

#[test]
fn the_operator_has_these_rights_and_no_others() {
    let all = template(&[]);
    let some = template(&["--set", "operator.watchNamespaces={shop,quay}"]);
    for (objects, role, binding) in [
        (&all, "ClusterRole breakwater-operator", "ClusterRoleBinding breakwater-operator"),
        (&some, "Role shop/breakwater-operator", "RoleBinding shop/breakwater-operator"),
        (&some, "Role quay/breakwater-operator", "RoleBinding quay/breakwater-operator"),
    ] {
        assert_eq!(find(objects, role)["rules"], rules(false, role.starts_with("Cluster")), "{role}");

        let binding = find(objects, binding);
        assert_eq!(binding["roleRef"]["kind"], role.split(' ').next().expect("a kind"));
        assert_eq!(binding["roleRef"]["name"], "breakwater-operator");
        let account = json!({"kind": "ServiceAccount", "name": "breakwater-operator", "namespace": "harbour"});
        assert_eq!(binding["subjects"], json!([account]));
    }
    let restarts = template(&["--set", "rbac.rolloutRestart=true"]);
    assert_eq!(find(&restarts, "ClusterRole breakwater-operator")["rules"], rules(true, true));
    let halt = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["stop"], "verbs": ["get"]}]);
    let halted = template(&["--set", "operator.haltConfigMap=stop,operator.watchNamespaces={shop}"]);
    assert_eq!(find(&halted, "Role harbour/breakwater-operator-halt")["rules"], halt);
    let operator = find(&halted, "Deployment harbour/breakwater-operator");
    let env = operator["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("a list");
    assert!(env.contains(&json!({"name": "OPERATOR_HALT_CONFIGMAP", "value": "stop"})), "{env:?}");
}

/// Holds for every object in every case, also for one that is added later.
#[test]
fn no_rule_has_a_wildcard_or_reaches_secrets_or_shells() {
    let words = ["*", "secrets", "pods/exec", "pods/attach", "deletecollection", "escalate", "bind", "impersonate"];
    for args in CASES {
        for object in template(args) {
            let rules = object["rules"].as_array().cloned().unwrap_or_default();
            let parts = rules.iter().flat_map(|rule| rule.as_object().expect("a rule").values());
            let used: Vec<_> = parts.flat_map(|part| part.as_array().expect("a list").clone()).collect();
            let banned: Vec<_> = used.iter().filter(|used| words.contains(&used.as_str().unwrap_or("*"))).collect();
            assert!(banned.is_empty(), "{args:?}: {banned:?} in {object:#}");
        }
    }
}

#[test]
fn only_the_operator_gets_a_token() {
    let objects = template(&[]);
    for name in ["backend", "client"] {
        let deployment = find(&objects, &format!("Deployment harbour/{name}"));
        assert_eq!(deployment["spec"]["template"]["spec"]["automountServiceAccountToken"], false, "{name}");
    }
    assert_eq!(find(&objects, "Pod harbour/breakwater-test")["spec"]["automountServiceAccountToken"], false);
    let operator = find(&objects, "Deployment harbour/breakwater-operator");
    assert_eq!(operator["spec"]["template"]["spec"]["serviceAccountName"], "breakwater-operator");
    assert_eq!(operator["spec"]["template"]["spec"]["automountServiceAccountToken"], true);
}

#[test]
fn an_account_of_the_users_own_is_bound_and_used() {
    let args = ["--set", "operator.serviceAccount.create=false,operator.serviceAccount.name=captain"];
    let objects = template(&args);
    let operator = find(&objects, "Deployment harbour/breakwater-operator");
    assert_eq!(operator["spec"]["template"]["spec"]["serviceAccountName"], "captain");
    assert_eq!(find(&objects, "ClusterRoleBinding breakwater-operator")["subjects"][0]["name"], "captain");
}
