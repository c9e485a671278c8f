//! Whether a value fits a schema as the API server reads it: OpenAPI's words with Kubernetes' own (`nullable`, int-or-string, unknown
//! fields are an error). kube 5.0 checks only the rules; validators of JSON Schema know neither these words nor what nulls mean here.

use serde_json::{Map, Value};

/// What does not fit, each with its path.
pub fn misfits(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = vec![];
    look(schema, value, path, &mut found);
    found
}

fn look(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let kind = schema["type"].as_str();
    let fits = match kind {
        _ if schema["x-kubernetes-int-or-string"] == true => value.is_string() || value.is_i64(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => is_integer(value),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        found.push(format!("{path}: must be of type {}", kind.unwrap_or("integer or string")));
        return;
    }
    if let Some(all) = schema["enum"].as_array().filter(|all| !all.contains(value)) {
        found.push(format!("{path}: must be one of {}", Value::from(all.clone())));
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, found),
        Value::Array(items) => {
            bounds(schema, ["minItems", "maxItems"], items.len() as f64, path, found);
            for (number, item) in items.iter().enumerate() {
                look(&schema["items"], item, &format!("{path}[{number}]"), found);
            }
        }
        Value::String(text) => {
            bounds(schema, ["minLength", "maxLength"], text.chars().count() as f64, path, found);
            format(schema, text, path, found);
        }
        Value::Number(number) => {
            bounds(schema, ["minimum", "maximum"], number.as_f64().unwrap_or(f64::NAN), path, found);
        }
        _ => {}
    }
}

/// The API server reads numbers with a fraction of zero as integers, if they are not larger than one.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < i64::MAX as f64)
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    bounds(schema, ["minProperties", "maxProperties"], fields.len() as f64, path, found);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{path}.{name}: is required"));
        }
    }
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (known @ Value::Object(_), _) | (_, known @ Value::Object(_)) => look(known, value, &path, found),
            _ => found.push(format!("{path}: is an unknown field")),
        }
    }
}

fn bounds(schema: &Value, names: [&str; 2], size: f64, path: &str, found: &mut Vec<String>) {
    let [least, most] = names.map(|name| schema[name].as_f64());
    if least.is_some_and(|least| size < least) || most.is_some_and(|most| size > most) {
        found.push(format!("{path}: {size} is out of bounds"));
    }
}

fn format(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let fits = match schema["format"].as_str() {
        Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
        Some("date") => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        _ => true,
    };
    if !fits {
        found.push(format!("{path}: is no {}", schema["format"]));
    }
}

/// The document as the API server makes it: nulls are absent where they are no value, numbers with a fraction of zero are integers, and
/// the defaults are filled in.
pub fn with_defaults(schema: &Value, value: &Value) -> Value {
    let mut value = value.clone();
    normalise(schema, &mut value);
    kube::core::cel::apply_defaults(schema, &value)
}

fn normalise(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let properties = &schema["properties"];
            fields.retain(|name, value| {
                let of = properties.get(name).or(schema.get("additionalProperties"));
                !(value.is_null() && of.is_some_and(|of| of["nullable"] != true))
            });
            for (name, value) in fields {
                let known = properties.get(name).unwrap_or(&schema["additionalProperties"]);
                normalise(known, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| normalise(&schema["items"], item)),
        Value::Number(number)
            if schema["type"] == "integer" && !number.is_i64() && is_integer(&Value::Number(number.clone())) =>
        {
            *value = Value::from(number.as_f64().map_or(0, |number| number as i64));
        }
        _ => {}
    }
}

/// The document without any null: no rule is applied to one.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            there.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
