//! Who may reach whom, where the network plug-in enforces it: every pod that is installed is meant by exactly one policy, and
//! what the pods ask of each other is allowed.

use serde_json::{Value, json};

use crate::{
    helm::{find, template, title},
    objects::OPTIONAL,
};

fn has(labels: &Value, selector: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object().expect("labels");
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn labels<'a>(objects: &'a [Value], pod: &str) -> &'a Value {
    let object = find(objects, pod);
    object.pointer("/spec/template/metadata/labels").unwrap_or(&object["metadata"]["labels"])
}

const OPERATOR: &str = "Deployment harbour/breakwater-operator";
const TEST: &str = "Pod harbour/breakwater-test";

#[test]
fn every_service_is_meant_by_one_policy() {
    let objects = template(&[OPTIONAL, &["--set", "demo.namespace=shop"]].concat());
    for (pod, policy) in [
        (OPERATOR, "NetworkPolicy harbour/breakwater-operator"),
        ("Deployment shop/backend", "NetworkPolicy shop/backend"),
        ("Deployment shop/client", "NetworkPolicy shop/client"),
    ] {
        let meant = objects.iter().filter(|object| object["kind"] == "NetworkPolicy");
        let meant = meant.filter(|object| has(labels(&objects, pod), &object["spec"]["podSelector"]));
        assert_eq!(meant.map(title).collect::<Vec<_>>(), [policy], "{pod}");
    }
}

/// The peers that may ask, or be asked, at the port `http`.
fn peers<'a>(policy: &'a Value, direction: &str, side: &str) -> Vec<&'a Value> {
    let rules = policy["spec"][direction].as_array().expect("rules").iter();
    let http = rules.filter(|rule| rule["ports"][0]["port"] == "http");
    http.flat_map(|rule| rule[side].as_array().expect("peers")).collect()
}

#[test]
fn the_demo_is_reached_by_those_that_ask_it_and_by_nobody_else() {
    let objects = template(&[OPTIONAL, &["--set", "demo.namespace=shop"]].concat());
    let (backend, client) = (find(&objects, "NetworkPolicy shop/backend"), find(&objects, "NetworkPolicy shop/client"));
    for (policy, direction, side, wanted) in [
        (backend, "ingress", "from", &["Deployment shop/client", TEST][..]),
        (client, "ingress", "from", &[OPERATOR, TEST]),
        (client, "egress", "to", &["Deployment shop/backend"]),
    ] {
        let peers = peers(policy, direction, side);
        assert_eq!(peers.len(), wanted.len(), "{} {direction}", title(policy));
        for (peer, pod) in peers.iter().zip(wanted) {
            assert!(has(labels(&objects, pod), &peer["podSelector"]), "{} {direction}: {pod}", title(policy));
            let elsewhere = pod.contains("harbour/").then_some("harbour");
            let namespace = peer.pointer("/namespaceSelector/matchLabels/kubernetes.io~1metadata.name");
            assert_eq!(namespace.and_then(Value::as_str), elsewhere, "{} {direction}: {pod}", title(policy));
        }
    }
    assert_eq!(backend["spec"]["egress"], json!([]), "a backend asks nobody");
}

#[test]
fn a_client_of_something_else_may_ask_it() {
    for value in ["demo.client.backendUrl=http://shop.example/", "demo.client.env.CLIENT_FALLBACK=last-good"] {
        let objects = template(&[OPTIONAL, &["--set", value]].concat());
        let policy = find(&objects, "NetworkPolicy harbour/client");
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]), "{value}");
    }
}

/// What the operator's policy says with these values.
fn operators(args: &[&str]) -> Value {
    find(&template(&[OPTIONAL, args].concat()), "NetworkPolicy harbour/breakwater-operator")["spec"].clone()
}

#[test]
fn the_operator_asks_names_the_api_server_and_pods_where_experiments_run() {
    let labelled = json!({"matchLabels": {"chaos.breakwater.dev/experiments": "allowed"}});
    let named = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop", "quay"]});
    for (values, namespaces) in [
        ("operator.requireLabel=true", labelled),
        ("operator.requireLabel=false", json!({})),
        ("operator.watchNamespaces={shop,quay}", json!({"matchExpressions": [named]})),
    ] {
        let policy = operators(&["--set", values]);
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]), "{values}");
        let wanted = json!([
            {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            {"ports": [{"port": 443}, {"port": 6443}]},
            {"to": [{"podSelector": {}, "namespaceSelector": namespaces}]},
        ]);
        assert_eq!(policy["egress"], wanted, "{values}");
    }
}

#[test]
fn where_the_api_server_is_and_who_reads_metrics_can_be_said() {
    let http = json!([{"port": "http"}]);
    assert_eq!(operators(&[])["ingress"], json!([{"ports": http}]), "everybody, at the endpoints alone");

    let reader = json!({"namespaceSelector": {"matchLabels": {"team": "metrics"}}});
    let from = format!("networkPolicy.metricsFrom=[{reader}]");
    let server = r#"networkPolicy.apiServer={"ports": [8443], "cidrs": ["10.0.0.1/32", "::1/128"]}"#;
    let policy = operators(&["--set-json", &from, "--set-json", server]);
    let test = json!({"podSelector": {"matchLabels": {
        "app.kubernetes.io/name": "breakwater",
        "app.kubernetes.io/instance": "breakwater",
        "app.kubernetes.io/component": "test",
    }}});
    assert!(has(labels(&template(&[]), TEST), &test["podSelector"]), "`helm test` runs a pod that is let in");
    assert_eq!(policy["ingress"], json!([{"ports": http, "from": [reader, test]}]));
    let blocks = json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "::1/128"}}]);
    assert_eq!(policy["egress"][1], json!({"ports": [{"port": 8443}], "to": blocks}));
}
