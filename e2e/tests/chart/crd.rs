//! The definition in the chart is the generated one.

use serde_json::{Value, json};

use crate::helm::{find, read, read_yaml, template};

const GENERATED: &str = "crds/chaosexperiments.yaml";
const TITLE: &str = "CustomResourceDefinition chaosexperiments.chaos.breakwater.dev";

#[test]
fn the_file_in_the_chart_is_the_generated_one() {
    let same = read(GENERATED) == read("charts/breakwater/files/chaosexperiments.yaml");
    assert!(same, "charts/breakwater/files/chaosexperiments.yaml differs from {GENERATED}: run `cargo crdgen`");
}

#[test]
fn it_is_rendered_whole_and_kept_on_uninstall() {
    let mut wanted = read_yaml(GENERATED);
    let plain = template(&["--set", "crds.keep=false"]);
    assert_eq!(difference("", find(&plain, TITLE), &wanted), None);

    wanted["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    let kept = template(&[]);
    assert_eq!(difference("", find(&kept, TITLE), &wanted), None);
}

/// Where two values differ first; 0 and 0.0 are one number. The whole definition would be too much to read.
pub fn difference(path: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            let keys = l.keys().chain(r.keys());
            keys.into_iter().find_map(|key| difference(&format!("{path}/{key}"), &left[key], &right[key]))
        }
        (Value::Array(l), Value::Array(r)) if l.len() == r.len() => {
            (0..l.len()).find_map(|index| difference(&format!("{path}/{index}"), &l[index], &r[index]))
        }
        (Value::Number(l), Value::Number(r)) if l.as_f64() == r.as_f64() => None,
        _ => (left != right).then(|| format!("{path}: {left} is not {right}")),
    }
}
