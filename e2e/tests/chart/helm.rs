//! Runs `helm` on the chart and hands out what it rendered.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The version of the workspace: of the chart, of the images and of every crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The namespace that the chart is rendered for.
pub const NAMESPACE: &str = "harbour";

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent folder").to_path_buf()
}

/// The text of a file of the checkout.
pub fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of the checkout.
pub fn read_yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs `helm COMMAND ... charts/breakwater ARGS`.
pub fn helm(command: &[&str], args: &[&str]) -> Output {
    let program = std::env::var("HELM").unwrap_or_else(|_| "helm".into());
    // Helm asks no cluster here: by itself it assumes an older one.
    let new = ["--kube-version", "1.37.0"];
    let rendered = command[0] == "template";
    Command::new(&program)
        .args(command)
        .arg(root().join("charts/breakwater"))
        .args(rendered.then_some(new).into_iter().flatten())
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install Helm, or say where it is by HELM=/path/to/helm"))
}

/// The text that `helm template ARGS` prints for a release named `breakwater`.
pub fn template_text(args: &[&str]) -> String {
    let output = helm(&["template", "breakwater", "--namespace", NAMESPACE], args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm template {args:?} fails:\n{stderr}");
    String::from_utf8(output.stdout).expect("helm prints UTF-8")
}

/// The objects that `helm template ARGS` renders.
pub fn template(args: &[&str]) -> Vec<Value> {
    let text = template_text(args);
    parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The objects in what helm prints, or why it is no YAML.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// What `helm template ARGS` says when it refuses.
pub fn refusal(args: &[&str]) -> String {
    let output = helm(&["template", "breakwater", "--namespace", NAMESPACE], args);
    assert!(!output.status.success(), "helm template {args:?} should be refused");
    String::from_utf8(output.stderr).expect("helm prints UTF-8")
}

/// `Kind namespace/name`, or `Kind name` where there is no namespace.
pub fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (kind, name) = (text("/kind").expect("a kind"), text("/metadata/name").expect("a name"));
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// The object with this title.
pub fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let titles: Vec<_> = objects.iter().map(title).collect();
    objects.iter().find(|object| title(object) == wanted).unwrap_or_else(|| panic!("no {wanted} among {titles:?}"))
}

/// Every pod's specification with the title of the object that it is in.
pub fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let spec = |object| match Value::pointer(object, "/kind").and_then(Value::as_str) {
        Some("Pod") => object.pointer("/spec"),
        _ => object.pointer("/spec/template/spec"),
    };
    objects.iter().filter_map(|object| Some((title(object), spec(object)?))).collect()
}
