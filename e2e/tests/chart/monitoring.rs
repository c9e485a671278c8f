//! The dashboard and the alerts ask for metrics that the operator exports, with labels and values that they can have.

use std::collections::BTreeSet;

use breakwater_operator::metrics::Metrics;
use serde_json::Value;

use crate::{
    helm::{find, template},
    objects::OPTIONAL,
};

/// The text that Prometheus reads from the start, so that the first event is an increase. Only the API server's answers come later.
fn exported() -> String {
    let metrics = Metrics::default();
    metrics.api_requests.get_or_create(&[("method", "GET"), ("code", "200")]).inc();
    metrics.text()
}

/// Every expression of the dashboard and of the alerts.
fn expressions() -> Vec<String> {
    let objects = template(OPTIONAL);
    let dashboard = &find(&objects, "ConfigMap harbour/breakwater-dashboard")["data"]["breakwater.json"];
    let dashboard: Value = serde_json::from_str(dashboard.as_str().expect("a file")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("queries"));
    let groups = &find(&objects, "PrometheusRule harbour/breakwater-operator")["spec"]["groups"];
    let rules = groups.as_array().expect("groups").iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    targets.chain(rules).map(|one| one["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// The metrics that an expression names, each with what follows it.
fn metrics_of(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    expression.match_indices("breakwater_").map(|(at, _)| {
        let rest = &expression[at..];
        rest.split_at(rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len()))
    })
}

#[test]
fn every_query_is_about_something_that_is_exported() {
    let (exported, expressions) = (exported(), expressions());
    assert!(expressions.len() > 15, "{expressions:#?}");
    let mut names = BTreeSet::new();
    for line in exported.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let ["#", "TYPE", name, kind] = words[..] {
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "info" => &["_info"],
                _ => &[""],
            };
            names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        }
    }
    for expression in &expressions {
        let mut about_something = false;
        for (name, rest) in metrics_of(expression) {
            about_something = true;
            assert!(names.contains(name), "{name} in {expression} is none of {names:#?}");
            if let Some(matcher) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                let sample = format!("{name}{{{}}}", matcher.0);
                assert!(exported.contains(&sample), "{sample} in {expression} is never exported");
            }
        }
        assert!(about_something, "{expression}");
    }
}

#[test]
fn what_is_summed_by_is_a_label() {
    for expression in expressions() {
        for (_, rest) in expression.match_indices(" by (").map(|(at, by)| expression.split_at(at + by.len())) {
            let label = rest.split(')').next().expect("an end");
            let known = ["le", "verdict", "outcome", "to", "code", "method"];
            assert!(known.contains(&label), "{label} in {expression}");
        }
    }
}
