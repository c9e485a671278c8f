//! The generated files and the examples agree with the code.

use std::{collections::BTreeSet, fs, path::PathBuf};

use breakwater_crds::{ChaosExperiment, crd_yaml};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn generated_files_are_what_crdgen_prints() {
    for file in ["crds/chaosexperiments.yaml", "charts/breakwater/files/chaosexperiments.yaml"] {
        assert!(read(repository(file)) == crd_yaml(), "{file} is stale: run `cargo crdgen` and commit what it writes");
    }
}

/// Every path in a document, such as `spec.kill.holdFor`.
fn paths(value: &serde_json::Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{prefix}.{key}");
                paths(value, &path, into);
                into.insert(path);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| paths(item, prefix, into)),
        _ => {}
    }
}

#[test]
fn examples_use_only_fields_that_exist() {
    let mut seen = 0;
    for entry in fs::read_dir(repository("crds/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = read(path.clone());
        let written: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let understood: ChaosExperiment =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut asked, mut known) = (BTreeSet::new(), BTreeSet::new());
        paths(&written, "", &mut asked);
        paths(&serde_json::to_value(&understood).unwrap(), "", &mut known);
        assert_eq!(asked.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "{}", path.display());
        assert_eq!(
            path.file_stem().unwrap().to_str(),
            understood.metadata.name.as_deref(),
            "the file is named as its experiment"
        );
        seen += 1;
    }
    assert!(seen >= 3, "the report's three experiments are there");
}

/// `kubectl explain` has something to say about every field of ours.
#[test]
fn every_field_is_explained() {
    fn silent(schema: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(|text| text.len() < 10) {
                into.push(path.clone());
            }
            silent(property, &path, into);
            silent(&property["items"], &path, into);
        }
    }
    let crd = serde_json::to_value(breakwater_crds::crd()).unwrap();
    let mut found = Vec::new();
    silent(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// Paths of the spec's fields as the README writes them, down to what is Kubernetes' own or an alternative.
fn spec_fields(schema: &serde_json::Value, path: &str, into: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let leaf = matches!(name.as_str(), "selector" | "pods" | "workload");
        let group = matches!(name.as_str(), "target" | "observe" | "expect");
        if !group {
            into.insert(path.clone());
        }
        if !leaf {
            spec_fields(property, &path, into);
            spec_fields(&property["items"], &format!("{path}[]"), into);
        }
    }
}

#[test]
fn the_readme_tells_every_field_and_every_reason() {
    let readme = read(repository("README.md"));
    let first_cells = |prefix: &str| -> BTreeSet<String> {
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        rows.map(|(cell, _)| cell.to_string()).filter(|cell| cell.starts_with(prefix)).collect()
    };
    let crd = serde_json::to_value(breakwater_crds::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut fields = BTreeSet::new();
    spec_fields(&schema["spec"], "spec", &mut fields);
    assert_eq!(first_cells("spec."), fields);

    let reasons = schema["status"]["properties"]["reason"]["enum"].as_array().unwrap();
    for reason in reasons.iter().filter_map(|reason| reason.as_str()) {
        assert!(readme.contains(&format!("`{reason}`")), "the README does not explain {reason}");
    }
    for bound in [breakwater_crds::MAX_KILLS, breakwater_crds::MAX_SPARED, breakwater_crds::MAX_REPLICAS] {
        assert!(
            readme.contains(&format!("more than {bound}")) || readme.contains(&format!("or {bound}")),
            "the README does not say {bound}"
        );
    }
}

#[test]
fn the_readme_shows_the_columns_that_kubectl_prints() {
    let readme = read(repository("README.md"));
    let crd = serde_json::to_value(breakwater_crds::crd()).unwrap();
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let shown: Vec<_> = columns
        .iter()
        .filter(|column| column["priority"].is_null())
        .filter_map(|column| column["name"].as_str())
        .collect();
    let header: Vec<_> =
        readme.lines().find(|line| line.starts_with("NAMESPACE")).unwrap().split_whitespace().skip(2).collect();
    assert_eq!(header, shown);
}
