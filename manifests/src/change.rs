//! What can be done to a field.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    field::{Field, sample},
    structure,
};

/// One change of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is not there.
    Remove,
    /// It has this value.
    Set(Value),
    /// It has one more field or entry, or that one with another value.
    Add(String, Value),
    /// It has so many more entries.
    AddMany(usize),
    /// It has its first item so many times.
    Repeat(usize),
}

impl Change {
    /// Makes the change.
    pub fn apply(&self, document: &mut Value, field: &Field) {
        match self {
            Self::Remove => field.remove(document),
            Self::Set(value) => *field.find(document) = value.clone(),
            Self::Add(name, value) => {
                object(field.find(document), |fields| _ = fields.insert(name.clone(), value.clone()))
            }
            Self::AddMany(count) => object(field.find(document), |fields| {
                fields.extend((0..*count).map(|number| (format!("key-{number}"), json!("value"))));
            }),
            Self::Repeat(count) => {
                let found = field.find(document);
                let first = found.get(0).cloned().unwrap_or_else(|| sample(&field.schema["items"]));
                *found = vec![first; *count].into();
            }
        }
    }

    /// Whether the schema, but for its rules, takes the field's value then.
    pub fn fits(&self, schema: &Value) -> bool {
        match self {
            Self::Remove => true,
            Self::Set(value) => structure::misfits(schema, value, "").is_empty(),
            Self::Add(..) | Self::AddMany(_) => schema["additionalProperties"].is_object(),
            Self::Repeat(count) => {
                let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
                *count as u64 >= least.unwrap_or(0) && *count as u64 <= most.unwrap_or(64)
            }
        }
    }

    /// The path of what is changed.
    pub fn path(&self, field: &Field) -> String {
        match self {
            Self::Add(name, _) => format!("{field}.{name}"),
            _ => field.to_string(),
        }
    }
}

fn object(value: &mut Value, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    if !value.is_object() {
        *value = json!({});
    }
    change(value.as_object_mut().expect("it was just made one"));
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Value| {
            let text = value.to_string();
            let cut: String = text.chars().take(80).collect();
            if cut.len() < text.len() { format!("{cut}… of {} bytes", text.len()) } else { cut }
        };
        match self {
            Self::Remove => f.write_str("left out"),
            Self::Set(value) => write!(f, "= {}", short(value)),
            Self::Add(name, value) => write!(f, "with {} = {}", short(&json!(name)), short(value)),
            Self::AddMany(count) => write!(f, "with {count} more entries"),
            Self::Repeat(count) => write!(f, "with its first item {count} times"),
        }
    }
}
