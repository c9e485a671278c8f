//! The fields that a schema has.

use std::fmt;

use serde_json::{Value, json};

/// One step on the way to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The field of this name.
    Name(String),
    /// The first item of a list.
    First,
    /// An entry of a map, by a key that the examples have.
    Entry,
}

/// The key of [`Step::Entry`].
const KEY: &str = "app";

/// A field of a document, with the part of the schema that is about it.
#[derive(Clone, Debug)]
pub struct Field {
    /// The way to it from the document's top.
    pub path: Vec<Step>,
    /// The schemas of all steps of the way, the field's own last.
    schemas: Vec<Value>,
    /// What the schema says of it.
    pub schema: Value,
}

/// Every field below the one of this name, itself included.
pub fn fields(schema: &Value, name: &str) -> Vec<Field> {
    let mut found = vec![];
    walk(schema, &[Step::Name(name.into())], std::slice::from_ref(schema), &mut found);
    found
}

fn walk(schema: &Value, path: &[Step], schemas: &[Value], into: &mut Vec<Field>) {
    into.push(Field { path: path.to_vec(), schemas: schemas.to_vec(), schema: schema.clone() });
    let mut go = |step: Step, schema: &Value| {
        walk(schema, &[path, &[step]].concat(), &[schemas, std::slice::from_ref(schema)].concat(), into);
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        go(Step::Name(name.clone()), property);
    }
    if schema["items"].is_object() {
        go(Step::First, &schema["items"]);
    }
    if schema["additionalProperties"].is_object() {
        go(Step::Entry, &schema["additionalProperties"]);
    }
}

impl Field {
    /// Its place in a document; what is missing on the way is made as its schema wants it.
    pub fn find<'a>(&self, document: &'a mut Value) -> &'a mut Value {
        let mut at = document;
        for (step, schema) in self.path.iter().zip(&self.schemas) {
            at = match step {
                Step::Name(name) => entry(at, name, schema),
                Step::Entry => entry(at, KEY, schema),
                Step::First => {
                    let list = as_list(at);
                    if list.is_empty() {
                        list.push(sample(schema));
                    }
                    &mut list[0]
                }
            };
        }
        at
    }

    /// Takes it out of a document, if it is there.
    pub fn remove(&self, document: &mut Value) {
        let Some((last, way)) = self.path.split_last() else { return };
        let mut at = document;
        for step in way {
            let next = match step {
                Step::Name(name) => at.get_mut(name),
                Step::Entry => at.get_mut(KEY),
                Step::First => at.get_mut(0),
            };
            let Some(next) = next else { return };
            at = next;
        }
        match last {
            Step::First => _ = at.as_array_mut().filter(|list| !list.is_empty()).map(|list| list.remove(0)),
            Step::Name(name) => _ = at.as_object_mut().and_then(|fields| fields.remove(name)),
            Step::Entry => _ = at.as_object_mut().and_then(|fields| fields.remove(KEY)),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.path.iter().enumerate() {
            let dot = if number > 0 { "." } else { "" };
            match step {
                Step::Name(name) => write!(f, "{dot}{name}")?,
                Step::First => f.write_str("[0]")?,
                Step::Entry => write!(f, "{dot}{KEY}")?,
            }
        }
        Ok(())
    }
}

fn entry<'a>(at: &'a mut Value, name: &str, schema: &Value) -> &'a mut Value {
    if !at.is_object() {
        *at = json!({});
    }
    let fields = at.as_object_mut().expect("it was just made one");
    fields.entry(name).or_insert_with(|| sample(schema))
}

fn as_list(at: &mut Value) -> &mut Vec<Value> {
    if !at.is_array() {
        *at = json!([]);
    }
    at.as_array_mut().expect("it was just made one")
}

/// The least that a schema takes.
pub fn sample(schema: &Value) -> Value {
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_string(), sample(&schema["properties"][name]))).collect()
        }
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            (0..least).map(|_| sample(&schema["items"])).collect()
        }
        Some("integer" | "number") => json!(schema["minimum"].as_f64().map_or(0, |least| least as i64)),
        Some("boolean") => json!(false),
        Some(_) => json!(match schema["format"].as_str() {
            Some("date-time") => "2026-12-01T09:00:00Z",
            Some("date") => "2026-12-01",
            Some("uuid") => "11111111-2222-3333-4444-555555555555",
            _ => "1s",
        }),
        None => json!(1),
    }
}
