//! One object, or its metadata alone.

use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    server::{Answer, Call, State},
};

pub fn get(state: &State, call: &Call<'_>) -> Answer {
    let object = match call.as_of {
        Some(revision) => state.store.at(revision).remove(&call.key()),
        None => state.store.get(&call.key()).cloned(),
    };
    let object = object.ok_or_else(|| Failure::not_found(call.kind(), &call.route.name))?;
    Ok((200, Value::clone(&object)))
}

/// An object, or a list of them, reduced to metadata; everything else stays what it is.
pub fn metadata(mut object: Value) -> Value {
    if object["kind"] == "Status" {
        return object;
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            *item = metadata(item.take());
        }
        object["kind"] = json!("PartialObjectMetadataList");
        object["apiVersion"] = json!("meta.k8s.io/v1");
        return object;
    }
    let mut partial = Map::new();
    partial.insert("kind".into(), json!("PartialObjectMetadata"));
    partial.insert("apiVersion".into(), json!("meta.k8s.io/v1"));
    partial.insert("metadata".into(), object["metadata"].take());
    Value::Object(partial)
}
