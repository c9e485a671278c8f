//! The definition in the chart is the generated one.

use serde_json::json;

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
    assert_eq!(find(&plain, TITLE), &wanted);

    wanted["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    let kept = template(&[]);
    assert_eq!(find(&kept, TITLE), &wanted);
}
