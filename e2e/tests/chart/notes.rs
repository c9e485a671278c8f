//! What `helm install` prints at the end can be typed as it stands.

use breakwater_crds::ChaosExperiment;
use serde_json::json;

use crate::helm::{helm, read};

fn notes(args: &[&str]) -> String {
    let output = helm(&["install", "breakwater", "--dry-run=client", "--namespace", "harbour"], args);
    let text = String::from_utf8(output.stdout).expect("helm prints UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (_, notes) = text.split_once("NOTES:\n").unwrap_or_else(|| panic!("helm prints no notes: {stderr}"));
    notes.to_owned()
}

fn parse(text: &str) -> ChaosExperiment {
    serde_saphyr::from_str(text).expect("an experiment")
}

/// The experiment that the notes say how to apply.
fn shown(args: &[&str]) -> ChaosExperiment {
    let notes = notes(args);
    let (_, rest) = notes.split_once("kubectl -n harbour apply -f - <<'EOF'\n").expect("a command with an experiment");
    let (shown, _) = rest.split_once("\nEOF\n").expect("an end of it, at the beginning of a line");
    parse(shown)
}

#[test]
fn the_experiment_is_the_example_of_a_backend_outage() {
    let (shown, example) = (shown(&[]), parse(&read("crds/examples/backend-outage.yaml")));
    assert_eq!(shown.metadata.name, example.metadata.name);
    assert_eq!(serde_json::to_value(shown.spec).unwrap(), serde_json::to_value(example.spec).unwrap());
}

#[test]
fn a_breakers_name_is_a_text_in_the_experiment_whatever_it_looks_like() {
    for name in ["true", "1e3", "null", "-", ".5"] {
        let shown = shown(&["--set-json", &format!("demo.client.breakerName={}", json!(name))]);
        assert_eq!(shown.spec.observe.clients[0].breaker, name);
    }
}

#[test]
fn they_follow_the_values() {
    let plain = notes(&[]);
    for part in [
        "every namespace that opts in",
        "kubectl label namespace harbour chaos.breakwater.dev/experiments=allowed",
        "deployment/breakwater-operator",
        "helm test breakwater -n harbour",
        "delete crd",
    ] {
        assert!(plain.contains(part), "{part:?} is missing:\n{plain}");
    }
    let bare = notes(&["--set", "demo.enabled=false,crds.keep=false,operator.watchNamespaces={shop,quay}"]);
    assert!(
        bare.contains("experiments in shop, quay.") && bare.contains("kubectl apply -f my-experiment.yaml"),
        "{bare}"
    );
    assert!(!bare.contains("backend") && !bare.contains("label namespace") && !bare.contains("delete crd"), "{bare}");
}
