//! What the chart sets, the programs read. A name that no program knows would change nothing and say nothing.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::helm::{find, root, template};

/// Environment variables that the chart leaves at their defaults: probes and Services rely on these ports.
const LEFT_ALONE: &[&str] = &["OPERATOR_LISTEN", "BACKEND_LISTEN", "CLIENT_LISTEN"];

/// The names after `env = ` in the sources below a folder, as clap's attributes have them.
fn read_by(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names = BTreeSet::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            names.extend(read_by(&path));
        } else {
            let text = fs::read_to_string(&path).expect("a source file");
            names.extend(text.split("env = \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    names
}

#[test]
fn programs_are_set_by_names_that_they_know() {
    // With every value set that is absent by default.
    let objects = template(&["--set", "operator.watchNamespaces={harbour},demo.client.deadline=3s"]);
    for (deployment, folder) in [("breakwater-operator", "operator"), ("backend", "backend"), ("client", "client")] {
        let deployment = find(&objects, &format!("Deployment harbour/{deployment}"));
        let env = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        let names = env.expect("an env").iter().map(|variable| variable["name"].as_str().expect("a name").to_owned());
        // RUST_LOG is tracing-subscriber's, not clap's.
        let set: BTreeSet<_> = names.filter(|name| name != "RUST_LOG").collect();
        let mut known = read_by(&root().join(folder).join("src"));
        known.retain(|name| !LEFT_ALONE.contains(&name.as_str()));
        assert_eq!(set, known, "left: what the chart sets for {folder}; right: what {folder} reads");
    }
}
