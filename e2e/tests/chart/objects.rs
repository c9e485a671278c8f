//! Which objects are installed, by the values that decide over them, and how they hang together.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::{VERSION, find, helm, pods, read, read_yaml, template, title};

/// What is off by default.
pub const OPTIONAL: &[&str] =
    &["--set", "networkPolicy.enabled=true,monitoring.dashboard.enabled=true,monitoring.alerts.enabled=true"];

/// Sets of values that change which objects there are.
pub const CASES: &[&[&str]] = &[
    &[],
    &["--set", "demo.enabled=false"],
    &["--set", "operator.watchNamespaces={shop}"],
    &["--set", "operator.watchNamespaces={shop,quay}"],
    &["--set", "operator.requireLabel=false"],
    &["--set", "demo.namespace=shop"],
    &["--set", "policies.enabled=false"],
    OPTIONAL,
    &["--set", "crds.install=false"],
    &["--set", "rbac.create=false,operator.serviceAccount.create=false,operator.serviceAccount.name=captain"],
];

fn titles(args: &[&str]) -> BTreeSet<String> {
    let objects = template(args);
    let titles: BTreeSet<_> = objects.iter().map(title).collect();
    assert_eq!(titles.len(), objects.len(), "an object is rendered twice: {objects:#?}");
    titles
}

fn set(titles: &[&str]) -> BTreeSet<String> {
    titles.iter().map(|title| title.to_string()).collect()
}

const OPERATOR: &[&str] = &[
    "CustomResourceDefinition chaosexperiments.chaos.breakwater.dev",
    "ServiceAccount harbour/breakwater-operator",
    "ClusterRole breakwater-operator",
    "ClusterRoleBinding breakwater-operator",
    "Role harbour/breakwater-operator-halt",
    "RoleBinding harbour/breakwater-operator-halt",
    "Service harbour/breakwater-operator",
    "Deployment harbour/breakwater-operator",
    "Pod harbour/breakwater-test",
    "ValidatingAdmissionPolicy breakwater.harbour.closed",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.closed",
    "ValidatingAdmissionPolicy breakwater.harbour.kills",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.kills",
    "ValidatingAdmissionPolicy breakwater.harbour.removals",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.removals",
    "MutatingAdmissionPolicy breakwater.harbour.requester",
    "MutatingAdmissionPolicyBinding breakwater.harbour.requester",
    "ValidatingAdmissionPolicy breakwater.harbour.requester",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.requester",
    "ValidatingAdmissionPolicy breakwater.harbour.rights",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.rights",
    "ValidatingAdmissionPolicy breakwater.harbour.status",
    "ValidatingAdmissionPolicyBinding breakwater.harbour.status",
];
const DEMO: &[&str] =
    &["Deployment harbour/backend", "Service harbour/backend", "Deployment harbour/client", "Service harbour/client"];

#[test]
fn the_chart_passes_the_strict_linter() {
    for args in CASES {
        let output = helm(&["lint", "--strict"], args);
        assert!(output.status.success(), "helm lint --strict {args:?}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn by_default_everything_goes_into_the_namespace_of_the_release() {
    assert_eq!(titles(&[]), &set(OPERATOR) | &set(DEMO));
}

#[test]
fn the_demo_can_be_left_out() {
    assert_eq!(titles(&["--set", "demo.enabled=false"]), set(OPERATOR));
}

#[test]
fn the_demo_can_go_elsewhere() {
    let moved = DEMO.iter().map(|title| title.replace("harbour/", "shop/")).collect();
    assert_eq!(titles(&["--set", "demo.namespace=shop"]), &set(OPERATOR) | &moved);
}

#[test]
fn the_crd_can_be_left_to_somebody_else() {
    assert_eq!(titles(&["--set", "crds.install=false"]), &set(&OPERATOR[1..]) | &set(DEMO));
}

#[test]
fn an_operator_of_some_namespaces_has_rights_there_and_brings_the_demo_to_the_first() {
    let objects = template(&["--set", "operator.watchNamespaces={shop,quay}"]);
    let titles: BTreeSet<_> = objects.iter().map(title).collect();
    let roles = ["Role shop", "RoleBinding shop", "Role quay", "RoleBinding quay"];
    let roles: BTreeSet<_> = roles.iter().map(|role| format!("{role}/breakwater-operator")).collect();
    let demo = DEMO.iter().map(|title| title.replace("harbour/", "shop/")).collect();
    // Other namespaces may be another operator's, so nobody is warned there.
    let elsewhere = |title: &str| title.starts_with("ClusterRole") || title.ends_with("harbour.closed");
    let others = OPERATOR.iter().filter(|title| !elsewhere(title)).map(|title| title.to_string());
    assert_eq!(titles, &(&others.collect() | &roles) | &demo);

    let operator = find(&objects, "Deployment harbour/breakwater-operator");
    let env = operator.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).expect("an env");
    assert!(env.contains(&json!({"name": "OPERATOR_NAMESPACES", "value": "shop,quay"})), "{env:#?}");
}

#[test]
fn the_readmes_commands_leave_the_demo_out_of_other_namespaces() {
    // A command may go on in the next line.
    let readme = read("charts/breakwater/README.md").replace("\\\n", " ");
    let commands = readme.lines().filter_map(|line| line.strip_prefix("$ helm install breakwater charts/breakwater "));
    let commands: Vec<_> = commands.collect();
    assert!(commands.iter().any(|command| command.contains("watchNamespaces")), "{commands:?}");
    for command in commands {
        let values = command.split("--set ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        let args: Vec<_> = values.flat_map(|value| ["--set", value.trim_matches('\'')]).collect();
        let installed = titles(&args).into_iter();
        let running = installed.filter(|title| title.starts_with("Deployment ") || title.starts_with("Service "));
        let elsewhere: Vec<_> = running.filter(|title| !title.contains(" harbour/")).collect();
        assert!(elsewhere.is_empty(), "{command}: {elsewhere:?}");
    }
}

#[test]
fn every_service_finds_its_pods_and_no_others() {
    let objects = template(&[]);
    let has = |labels: &Value, selector: &Value| {
        selector.as_object().expect("a selector").iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let pod_labels: Vec<(String, &Value)> = objects
        .iter()
        .filter_map(|object| {
            let labels = object.pointer("/spec/template/metadata/labels");
            let labels = labels.or_else(|| (object["kind"] == "Pod").then(|| &object["metadata"]["labels"]));
            Some((title(object), labels?))
        })
        .collect();
    assert_eq!(pod_labels.len(), 4);

    for name in ["breakwater-operator", "backend", "client"] {
        let service = find(&objects, &format!("Service harbour/{name}"));
        let deployment = find(&objects, &format!("Deployment harbour/{name}"));
        for selector in [&service["spec"]["selector"], &deployment["spec"]["selector"]["matchLabels"]] {
            let found: Vec<_> = pod_labels.iter().filter(|(_, labels)| has(labels, selector)).collect();
            assert_eq!(found.len(), 1, "{name} selects {found:?}");
            assert_eq!(found[0].0, title(deployment));
        }
    }
    for app in ["backend", "client"] {
        let found: Vec<_> =
            pod_labels.iter().filter(|(_, labels)| labels["app"] == app).map(|(title, _)| title).collect();
        assert_eq!(found, [&format!("Deployment harbour/{app}")], "experiments select by `app: {app}`");
    }
}

#[test]
fn names_follow_the_release_and_can_be_replaced() {
    for (args, wanted) in [
        (["--set", "nameOverride=tide"], "breakwater-tide-operator"),
        (["--set", "fullnameOverride=tide"], "tide-operator"),
    ] {
        find(&template(&args), &format!("Deployment harbour/{wanted}"));
    }
}

#[test]
fn chart_and_images_carry_the_version_of_the_workspace() {
    let chart = read_yaml("charts/breakwater/Chart.yaml");
    assert_eq!(chart["version"], VERSION);
    assert_eq!(chart["appVersion"], VERSION);

    let objects = template(&[]);
    let images: Vec<_> = pods(&objects).iter().flat_map(|(_, spec)| images(spec)).collect();
    let image = |name| format!("docker.io/breakwater/{name}:{VERSION}");
    assert_eq!(images.len(), 4);
    for image in [image("operator"), image("backend"), image("client")] {
        assert!(images.contains(&image), "no {image} among {images:?}");
    }
    assert!(images.iter().all(|image| image.ends_with(&format!(":{VERSION}"))), "{images:?}");
}

fn images(spec: &Value) -> Vec<String> {
    let containers = spec["containers"].as_array().expect("containers");
    containers.iter().map(|container| container["image"].as_str().expect("an image").to_owned()).collect()
}

#[test]
fn images_come_from_the_registry_that_is_named() {
    let values = "image.registry=registry.example:5000,image.repository=mirror/breakwater,image.tag=edge";
    for (title, spec) in pods(&template(&["--set", values])) {
        for image in images(spec) {
            assert!(image.starts_with("registry.example:5000/mirror/breakwater/"), "{title}: {image}");
            assert!(image.ends_with(":edge"), "{title}: {image}");
        }
    }
}

#[test]
fn a_digest_stands_behind_its_own_image_alone() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let names = ["operator", "backend", "client"];
    for name in names {
        let objects = template(&["--set", &format!("image.tag=edge,image.digests.{name}={digest}")]);
        let found: BTreeSet<String> = pods(&objects).iter().flat_map(|(_, spec)| images(spec)).collect();
        let behind = |image: &str| if image == name { format!("@{digest}") } else { String::new() };
        let wanted: BTreeSet<String> =
            names.into_iter().map(|image| format!("docker.io/breakwater/{image}:edge{}", behind(image))).collect();
        assert_eq!(found, wanted, "{name}");
    }
}
