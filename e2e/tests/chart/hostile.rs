//! No value changes what is installed but in its own place: whatever text is written there, `helm` refuses it by the schema or
//! renders it as the one text that it is. The places come from the schema, so that a value that is added later is tried too.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Value, json};

use crate::{
    crd::difference,
    helm::{NAMESPACE, helm, parse, read_yaml},
    objects::OPTIONAL,
};

/// Stands in a place for the text that is tried there.
const TEXT: &str = "TEXT";
/// Every place takes one of these; a value that takes none of them needs one more.
const HARMLESS: &[&str] = &[
    "harmless",
    "HARMLESS",
    "97531",
    "2.97531s",
    "97.531ms",
    "97.53.1.0/24",
    "http://harmless/",
    "json",
    "Always",
    DIGEST,
];
const DIGEST: &str = "sha256:9753197531975319753197531975319753197531975319753197531975319753";

/// Where a text may stand in the values.
struct Place {
    /// What `--set-json` takes, with TEXT in it.
    value: String,
    /// The first of HARMLESS that it takes.
    harmless: &'static str,
    /// What is rendered with that.
    objects: Vec<Value>,
}

static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let schema = read_yaml("charts/breakwater/values.schema.json");
    let properties = schema["properties"].as_object().expect("properties").iter();
    let values: BTreeSet<_> = properties
        .flat_map(|(name, property)| shapes(property, &schema).into_iter().map(move |shape| format!("{name}={shape}")))
        .collect();
    values.into_iter().map(place).collect()
});

/// What a part of the schema takes: one shape for each text in it, with TEXT in its place.
fn shapes(schema: &Value, root: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let definition = root.pointer(name.trim_start_matches('#'));
        return shapes(definition.unwrap_or_else(|| panic!("no {name}")), root);
    }
    for keyword in ["allOf", "oneOf", "if", "patternProperties"] {
        assert!(schema[keyword].is_null(), "this test knows no {keyword}: {schema}");
    }
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    let mut found: Vec<_> = alternatives.flat_map(|one| shapes(one, root)).collect();
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => {
            assert!(schema["properties"].is_null() && schema["items"].is_null(), "say the type of {schema}");
            vec!["string"]
        }
    };
    for kind in kinds {
        match kind {
            "string" => found.push(json!(TEXT)),
            "array" => found.extend(shapes(&schema["items"], root).into_iter().map(|item| json!([item]))),
            "object" => found.extend(fields(schema, root)),
            _ => {}
        }
    }
    found
}

/// The same for an object: its fields, and where their names are free, a name as well.
fn fields(schema: &Value, root: &Value) -> Vec<Value> {
    let mut found = vec![];
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(shapes(property, root).into_iter().map(|shape| json!({name: shape})));
    }
    let further = &schema["additionalProperties"];
    if *further != false {
        found.extend(shapes(further, root).into_iter().map(|shape| json!({"HARMLESS": shape})));
        // Of several types one is a number, which a pattern does not refuse.
        let value = if further["type"].is_array() { json!(1) } else { json!("HARMLESS") };
        found.push(json!({TEXT: value}));
    }
    found
}

fn place(value: String) -> Place {
    let taken = HARMLESS.iter().find_map(|harmless| Some((*harmless, render(&value, harmless)?)));
    let (harmless, objects) = taken.unwrap_or_else(|| panic!("{value} takes none of HARMLESS"));
    // Nothing reads what a parent chart passes down.
    let shown = value.starts_with("global=") || json!(objects).to_string().contains(harmless);
    assert!(shown, "{value} is not rendered: what is off by default belongs into OPTIONAL");
    Place { value, harmless, objects }
}

/// What is rendered with a text in a place; nothing where the schema refuses it.
fn render(value: &str, text: &str) -> Option<Vec<Value>> {
    let value = value.replace(&json!(TEXT).to_string(), &json!(text).to_string());
    let further = ["--set", "crds.install=false,rbac.rolloutRestart=true", "--set-json", value.as_str()];
    let output = helm(&["template", "breakwater", "--namespace", NAMESPACE], &[OPTIONAL, &further[..]].concat());
    if output.status.success() {
        let text = String::from_utf8(output.stdout).expect("helm prints UTF-8");
        return Some(parse(&text).unwrap_or_else(|error| panic!("{value} breaks a manifest: {error}")));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // By the schema; but for a duration that is one, and too long or too short beside another.
    let refused = ["specifications of the schema", "must not exceed"].iter().any(|words| said.contains(words));
    assert!(refused, "{value} is not refused by the schema:\n{said}");
    None
}

/// Every text in a value, keys too, through `swap`.
fn swapped(value: &Value, swap: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => swap(text).into(),
        Value::Array(items) => items.iter().map(|item| swapped(item, swap)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (swap(key), swapped(value, swap))).collect(),
        other => other.clone(),
    }
}

/// Tries each text in every place, with what the place takes instead of `harmless`. Where it is rendered, everything is as with
/// the harmless one, but for `swap` of the one for the other.
fn everywhere(texts: &[&str], swap: fn(&str, &str, &str) -> String) {
    let (mut refused, mut rendered) = (0, 0);
    for Place { value, harmless, objects } in PLACES.iter() {
        for text in texts {
            let text = text.replace("harmless", harmless);
            let Some(found) = render(value, &text) else {
                refused += 1;
                continue;
            };
            rendered += 1;
            let wanted: Value =
                objects.iter().map(|object| swapped(object, &|part| swap(part, harmless, &text))).collect();
            assert_eq!(difference("", &Value::Array(found), &wanted), None, "{text:?} in {value}");
        }
    }
    println!("{} places: {refused} texts refused, {rendered} rendered", PLACES.len());
    assert!(PLACES.len() > 80, "the schema has no more than {} places", PLACES.len());
    for count in [refused, rendered] {
        assert!(count > 15 * texts.len(), "{refused} refused, {rendered} rendered: too few to learn from");
    }
}

/// It is the whole of what stands in its place, never a part of it.
fn whole(part: &str, harmless: &str, text: &str) -> String {
    if part == harmless { text.to_owned() } else { part.to_owned() }
}

#[test]
fn no_text_ends_a_list_or_a_map() {
    everywhere(&["harmless, harmless", "harmless]harmless", "harmless}harmless", "harmless: harmless"], whole);
}

#[test]
fn no_text_begins_a_line_a_comment_or_a_quotation() {
    let lines = "harmless\ninjected: harmless\n---\ninjected: harmless";
    everywhere(&[lines, "harmless # harmless", "harmless\" || \"harmless", "'harmless'"], whole);
}

#[test]
fn no_text_is_a_template() {
    everywhere(&["harmless{{ .Release.Name }}harmless"], whole);
}

/// Names, tags and labels may look like something else than texts, and may stand within longer ones.
#[test]
fn no_text_is_taken_for_something_else() {
    everywhere(&["true", "1e3"], |part, harmless, text| part.replace(harmless, text));
}
