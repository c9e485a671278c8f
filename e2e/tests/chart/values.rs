//! Every value does something, is described, and is checked before anything is installed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::helm::{read, read_yaml, refusal, template_text};

const CHART: &str = "charts/breakwater";

/// A digest, as `--set-json` takes it.
const DIGEST: &str = r#""sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#;

/// For each value, something else than its default, as `--set-json` takes it.
const OTHERWISE: &[(&str, &str)] = &[
    ("nameOverride", r#""tide""#),
    ("fullnameOverride", r#""tide""#),
    ("image.registry", r#""registry.example""#),
    ("image.repository", r#""mirror""#),
    ("image.tag", r#""edge""#),
    ("image.digests.operator", DIGEST),
    ("image.digests.backend", DIGEST),
    ("image.digests.client", DIGEST),
    ("image.pullPolicy", r#""Always""#),
    ("image.pullSecrets", r#"[{"name": "key"}]"#),
    ("crds.install", "false"),
    ("crds.keep", "false"),
    ("rbac.create", "false"),
    ("rbac.rolloutRestart", "true"),
    ("networkPolicy.enabled", "true"),
    ("networkPolicy.metricsFrom", r#"[{"podSelector": {}}]"#),
    ("networkPolicy.apiServer.ports", "[8443]"),
    ("networkPolicy.apiServer.cidrs", r#"["10.0.0.1/32"]"#),
    ("monitoring.dashboard.enabled", "true"),
    ("monitoring.dashboard.labels", r#"{"board": "yes"}"#),
    ("monitoring.alerts.enabled", "true"),
    ("monitoring.alerts.labels", r#"{"release": "prometheus"}"#),
    ("policies.enabled", "false"),
    ("policies.recordRequester", "false"),
    ("operator.watchNamespaces", r#"["shop"]"#),
    ("operator.requireLabel", "false"),
    ("operator.haltConfigMap", r#""stop""#),
    ("operator.serviceAccount.create", "false"),
    ("operator.serviceAccount.name", r#""captain""#),
    ("operator.serviceAccount.annotations", r#"{"example.com/role": "keeper"}"#),
    ("demo.enabled", "false"),
    ("demo.namespace", r#""shop""#),
    ("demo.backend.replicas", "3"),
    ("demo.client.replicas", "3"),
    ("demo.backend.env", r#"{"BACKEND_FAIL_RATE": "10%"}"#),
    ("demo.client.env", r#"{"CLIENT_FALLBACK": "last-good"}"#),
    ("demo.client.backendUrl", r#""http://proxy:5000/data""#),
    ("demo.client.breakerName", r#""proxy""#),
    ("demo.client.interval", r#""5s""#),
    ("demo.client.deadline", r#""4s""#),
    ("demo.client.attemptTimeout", r#""500ms""#),
    ("demo.client.attempts", "1"),
    ("demo.client.retryBase", r#""50ms""#),
    ("demo.client.retryCap", r#""1s""#),
    ("demo.client.failureThreshold", "5"),
    ("demo.client.openFor", r#""1m30s""#),
];

/// The same for what each of the three workloads has.
const OTHERWISE_EACH: &[(&str, &str)] = &[
    ("logLevel", r#""debug,kube=info""#),
    ("logFormat", r#""json""#),
    ("terminationGracePeriodSeconds", "45"),
    ("resources.requests", r#"{"cpu": "1", "memory": "1Gi"}"#),
    ("resources.limits", r#"{"cpu": "2", "memory": "2Gi"}"#),
    ("podAnnotations", r#"{"example.com/team": "sea"}"#),
    ("podLabels", r#"{"team": "sea"}"#),
    ("priorityClassName", r#""high""#),
    ("nodeSelector", r#"{"disk": "fast"}"#),
    ("tolerations", r#"[{"operator": "Exists"}]"#),
    ("affinity", r#"{"nodeAffinity": {}}"#),
];

/// Values that change nothing or are refused by themselves, and the one that they belong to.
const ONLY_WITH: &[(&str, &str)] = &[
    ("networkPolicy.", "networkPolicy.enabled=true"),
    ("monitoring.dashboard.labels", "monitoring.dashboard.enabled=true"),
    ("monitoring.alerts.labels", "monitoring.alerts.enabled=true"),
    ("operator.serviceAccount.create", "operator.serviceAccount.name=captain"),
];

fn otherwise() -> Vec<(String, &'static str)> {
    let each = ["operator", "demo.backend", "demo.client"]
        .into_iter()
        .flat_map(|workload| OTHERWISE_EACH.iter().map(move |(value, other)| (format!("{workload}.{value}"), *other)));
    OTHERWISE.iter().map(|(value, other)| (value.to_string(), *other)).chain(each).collect()
}

/// The paths of all values, `a.b.c`; `resources` is not taken apart below requests and limits, `labels` not at all.
fn paths(values: &Map<String, Value>, prefix: &str) -> BTreeSet<String> {
    let below = |(key, value): (&String, &Value)| {
        let path = format!("{prefix}{key}");
        match value {
            Value::Object(inner) if !inner.is_empty() && key != "labels" && !prefix.ends_with("resources.") => {
                paths(inner, &format!("{path}."))
            }
            _ => BTreeSet::from([path]),
        }
    };
    values.iter().flat_map(below).collect()
}

fn all_paths() -> BTreeSet<String> {
    paths(read_yaml(&format!("{CHART}/values.yaml")).as_object().expect("an object"), "")
}

#[test]
fn every_value_changes_what_is_rendered() {
    let otherwise = otherwise();
    assert_eq!(otherwise.iter().map(|(path, _)| path.clone()).collect::<BTreeSet<_>>(), all_paths());
    let default = template_text(&[]);
    for (path, other) in otherwise {
        let with = ONLY_WITH.iter().find(|(value, switch)| path.starts_with(value) && !switch.starts_with(&path));
        let mut args = with.map_or(vec![], |(_, switch)| vec!["--set", *switch]);
        let default = if args.is_empty() { default.clone() } else { template_text(&args) };
        let value = format!("{path}={other}");
        args.extend(["--set-json", &value]);
        let changed = template_text(&args);
        assert!(changed != default, "{path}={other} changes nothing");
    }
}

#[test]
fn the_readme_lists_every_value() {
    let readme = read(&format!("{CHART}/README.md"));
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<_> = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    let each = |path: &String| {
        ["operator.", "demo.backend.", "demo.client."]
            .into_iter()
            .find_map(|workload| Some(format!("*.{}", path.strip_prefix(workload)?)))
            .filter(|general| OTHERWISE_EACH.iter().any(|(value, _)| general == &format!("*.{value}")))
            .unwrap_or_else(|| path.clone())
    };
    assert_eq!(listed, all_paths().iter().map(each).collect::<BTreeSet<_>>());
}

#[test]
fn the_schema_describes_every_value() {
    fn check(schema: &Value, path: &str) {
        if let Some(properties) = schema["properties"].as_object() {
            assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                let described = property["description"].is_string() || property["$ref"].is_string();
                assert!(described, "{path} is not described");
                check(property, &path);
            }
        }
    }
    let schema = read_yaml(&format!("{CHART}/values.schema.json"));
    check(&schema, "");
    for (name, definition) in schema["definitions"].as_object().expect("definitions") {
        assert!(definition["description"].is_string(), "{name} is not described");
        check(definition, name);
    }
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (value, named) in [
        ("replicas=2", "replicas"),
        ("operator.replicas=2", "replicas"),
        ("demo.client.openfor=10s", "openfor"),
        ("demo.client.openFor=10", "openFor"),
        ("demo.client.openFor=ten seconds", "openFor"),
        ("demo.client.attempts=two", "attempts"),
        ("demo.client.attempts=0", "attempts"),
        ("demo.client.attempts=3", "fewer than demo.client.failureThreshold"),
        ("demo.client.deadline=4", "deadline"),
        ("demo.client.deadline=soon", "deadline"),
        ("demo.client.backendUrl=backend:5000", "backendUrl"),
        ("demo.backend.terminationGracePeriodSeconds=5", "terminationGracePeriodSeconds"),
        ("demo.backend.replicas=-1", "replicas"),
        ("demo.enabled=1", "enabled"),
        ("operator.watchNamespaces={Shop}", "watchNamespaces"),
        ("operator.watchNamespaces={shop,shop}", "watchNamespaces"),
        ("operator.watchNamespaces={kube-system}", "watchNamespaces"),
        ("operator.podLabels.version=2", "version"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.registry=https://example", "registry"),
        ("image.tag=edge:1", "tag"),
        ("image.tag=edge@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "tag"),
        ("image.digests.client=edge", "digests"),
        ("image.digests.proxy=", "proxy"),
        ("fullnameOverride=Tide", "fullnameOverride"),
        (r"operator.haltConfigMap=stop\, secrets", "haltConfigMap"),
        ("operator.serviceAccount.name=captain hook", "serviceAccount"),
        ("operator.serviceAccount.create=false", "operator.serviceAccount.name: it is empty"),
        ("operator.serviceAccount.name=default", "operator.serviceAccount.name is default"),
        ("operator.serviceAccount.create=false,operator.serviceAccount.name=default", "serviceAccount.name is default"),
        ("demo.client.breakerName=my backend", "breakerName"),
        ("demo.client.openFor=0s", "openFor"),
        ("demo.client.interval=0.0s", "interval"),
        ("demo.client.interval=1s", "demo.client.attemptTimeout is 2s and must not exceed a call's deadline, 1s"),
        ("demo.client.deadline=1999ms", "must not exceed a call's deadline, 1999ms"),
        ("demo.client.retryBase=1s", "demo.client.retryBase is 1s and must not exceed demo.client.retryCap, 500ms"),
        (
            "rbac.create=false,policies.enabled=false,operator.serviceAccount.create=false",
            "operator.serviceAccount.name:",
        ),
        ("operator.podLabels.team=a b", "team"),
        ("operator.resources.limits.cpu=much", "cpu"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "cidrs"),
    ] {
        let said = refusal(&["--set", value]);
        assert!(said.contains(named), "helm refuses {value} without naming {named}:\n{said}");
    }
}

#[test]
fn an_older_cluster_is_told_what_it_lacks() {
    let said = refusal(&["--kube-version", "1.29.0"]);
    assert!(said.contains("set policies.enabled=false"), "{said}");
    let titles = |args: &[&str]| template_text(args).contains("MutatingAdmissionPolicy");
    assert!(titles(&[]) && !titles(&["--kube-version", "1.35.0"]), "it is stable since 1.36");
    template_text(&["--kube-version", "1.29.0", "--set", "policies.enabled=false"]);
}

#[test]
fn a_demo_that_the_operator_would_not_see_is_refused() {
    let said = refusal(&["--set", "operator.watchNamespaces={shop},demo.namespace=elsewhere"]);
    assert!(said.contains("name it there, or set demo.enabled=false"), "{said}");
}

/// A chart that has this one as a dependency passes `global` and often switches it by `enabled`.
#[test]
fn the_values_of_a_parent_chart_are_accepted() {
    template_text(&["--set", "global.region=north,enabled=true"]);
}
