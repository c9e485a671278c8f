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

/// The names in the environment of a Deployment's container.
fn set_in(objects: &[Value], deployment: &str) -> BTreeSet<String> {
    let deployment = find(objects, &format!("Deployment harbour/{deployment}"));
    let env = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).expect("an env");
    let names: Vec<_> = env.iter().map(|variable| variable["name"].as_str().expect("a name").to_owned()).collect();
    let set: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "each once: {names:?}");
    set
}

#[test]
fn programs_are_set_by_names_that_they_know() {
    // With every value set that is absent by default.
    let objects = template(&["--set", "operator.watchNamespaces={harbour},demo.client.deadline=3s"]);
    for (deployment, folder) in [("breakwater-operator", "operator"), ("backend", "backend"), ("client", "client")] {
        // Not clap's: one is tracing-subscriber's, one the C library's.
        let mut set = set_in(&objects, deployment);
        set.retain(|name| !["RUST_LOG", "MALLOC_ARENA_MAX"].contains(&name.as_str()));
        let mut known = read_by(&root().join(folder).join("src"));
        known.extend(read_by(&root().join("service/src")));
        known.retain(|name| !LEFT_ALONE.contains(&name.as_str()));
        let unknown: Vec<_> = set.difference(&known).collect();
        assert!(unknown.is_empty(), "{folder} does not read {unknown:?}");
        if folder == "operator" {
            assert_eq!(set, known, "left: what the chart sets; right: what the operator reads");
        }
    }
}

#[test]
fn the_demos_programs_take_further_settings_by_their_environment() {
    let further = "demo.client.env.CLIENT_FALLBACK=last-good,demo.backend.env.BACKEND_FAIL_RATE=10%";
    let objects = template(&["--set", "operator.watchNamespaces={harbour}", "--set", further]);
    assert!(
        set_in(&objects, "client").is_superset(&["CLIENT_FALLBACK", "CLIENT_BACKEND_URL"].map(str::to_owned).into())
    );
    assert!(set_in(&objects, "backend").contains("BACKEND_FAIL_RATE"));

    // Several targets have names and URLs of their own; the client would refuse another one beside them.
    let targets = r"demo.client.env.CLIENT_TARGETS=a=http://a/\,b=http://b/";
    let set = set_in(&template(&["--set", "operator.watchNamespaces={harbour}", "--set", targets]), "client");
    assert!(set.contains("CLIENT_TARGETS"), "{set:?}");
    assert!(!set.contains("CLIENT_BACKEND_URL") && !set.contains("CLIENT_BREAKER_NAME"), "{set:?}");
}
