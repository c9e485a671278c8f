//! Creations and changes, with the checks that make them safe: versions, uids, subresources.

use json_patch::{Patch, merge, patch as json_patch};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    failure::Failure,
    kind::{Kind, Origin},
    server::{Answer, Call, State},
};

pub use crate::delete::{delete, evict};

/// What nobody but the server sets.
const OWN: [&str; 7] =
    ["name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"];

pub fn create(state: &mut State, call: &Call<'_>, mut object: Value) -> Answer {
    let (kind, route) = (call.kind(), call.route);
    if !object["metadata"].is_object() {
        return Err(Failure::invalid(kind, "", "metadata.name: Required value: name or generateName is required"));
    }
    if kind.namespaced {
        admit(state, route.namespace.as_str(), kind)?;
    }
    state.born += 1;
    let metadata = &mut object["metadata"];
    let name = match (metadata["name"].as_str().unwrap_or_default(), metadata["generateName"].as_str()) {
        ("", Some(prefix)) => format!("{prefix}{:05}", state.born),
        ("", None) => {
            return Err(Failure::invalid(kind, "", "metadata.name: Required value: name or generateName is required"));
        }
        (name, _) => name.to_string(),
    };
    let key = (route.kind, route.namespace.clone(), name.clone());
    if state.store.get(&key).is_some() {
        return Err(Failure::exists(kind, &name));
    }
    metadata["name"] = json!(name);
    metadata["uid"] = json!(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("born {}", state.born).as_bytes()).to_string());
    metadata["creationTimestamp"] = json!(call.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    for field in ["generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        remove(metadata, field);
    }
    if kind.namespaced {
        metadata["namespace"] = json!(route.namespace);
    }
    if has_generation(kind) {
        metadata["generation"] = json!(1);
    }
    object["kind"] = json!(kind.kind);
    object["apiVersion"] = json!(kind.api_version());
    if kind.has_status() {
        remove(&mut object, "status");
    }
    match kind.kind {
        "Pod" => object["status"] = json!({"phase": "Pending"}),
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        _ => {}
    }
    if route.dry_run {
        return Ok((201, object));
    }
    let written = state.store.put(key, object, call.by);
    Ok((201, Value::clone(&written)))
}

/// Nothing is created where there is no namespace, or where it ends.
fn admit(state: &State, namespace: &str, kind: &Kind) -> Result<(), Failure> {
    let found = state.store.get(&(0, String::new(), namespace.to_string()));
    let Some(found) = found else {
        return Err(Failure::new(404, "NotFound", format!("namespaces {namespace:?} not found")));
    };
    if found["metadata"]["deletionTimestamp"].is_string() {
        let why = format!("{} cannot be created in namespace {namespace} because it is being terminated", kind.plural);
        return Err(Failure::new(403, "Forbidden", why));
    }
    Ok(())
}

pub fn update(state: &mut State, call: &Call<'_>, mut sent: Value) -> Answer {
    let (kind, name) = (call.kind(), &call.route.name);
    if sent["metadata"]["name"].as_str().is_some_and(|said| said != name) {
        return Err(Failure::bad(format!("the name of the object does not match the name on the URL ({name})")));
    }
    let current = state.store.get(&call.key()).cloned().ok_or_else(|| Failure::not_found(kind, name))?;
    let said = |field: &str| sent["metadata"][field].as_str().filter(|text| !text.is_empty());
    let version = said("resourceVersion").map(ToString::to_string);
    if version.is_none() && kind.origin == Origin::Custom {
        let why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
        return Err(Failure::invalid(kind, name, why));
    }
    if let Some(uid) = said("uid").filter(|uid| *uid != current["metadata"]["uid"]) {
        let real = current["metadata"]["uid"].as_str().unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {real}");
        return Err(Failure::conflict(kind, name, &why));
    }
    if version.is_some_and(|version| version != current["metadata"]["resourceVersion"]) {
        return Err(Failure::modified(kind, name));
    }
    let mut next = Value::clone(&current);
    if call.route.subresource == "status" {
        set(&mut next, "status", sent["status"].take());
    } else {
        if kind.has_status() {
            set(&mut sent, "status", current["status"].clone());
        }
        for field in OWN.into_iter().chain(["resourceVersion"]) {
            set(&mut sent["metadata"], field, current["metadata"][field].clone());
        }
        sent["kind"] = json!(kind.kind);
        sent["apiVersion"] = json!(kind.api_version());
        if kind.origin == Origin::Pod && sent["spec"] != current["spec"] {
            return Err(Failure::invalid(kind, name, "spec: Forbidden: pod updates may not change fields of the spec"));
        }
        if has_generation(kind) && desired(&sent) != desired(&current) {
            sent["metadata"]["generation"] = json!(current["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        next = sent;
    }
    if next == *current || call.route.dry_run {
        return Ok((200, next));
    }
    let metadata = &next["metadata"];
    let ended = metadata["deletionTimestamp"].is_string() && metadata["deletionGracePeriodSeconds"].as_i64() == Some(0);
    if ended && !has_finalizers(&next) {
        // It goes as it was stored: the write that takes its last finalizer is answered, but never stored.
        state.store.remove(&call.key(), call.by);
        return Ok((200, next));
    }
    let written = state.store.put(call.key(), next, call.by);
    Ok((200, Value::clone(&written)))
}

pub fn patch(state: &mut State, call: &Call<'_>, sent: &Value, content_type: &str) -> Answer {
    let (kind, name) = (call.kind(), &call.route.name);
    let current = state.store.get(&call.key()).cloned().ok_or_else(|| Failure::not_found(kind, name))?;
    let mut next = Value::clone(&current);
    match content_type {
        "application/merge-patch+json" => merge(&mut next, sent),
        // What the operator's patches have is the same in both: no lists with keys.
        "application/strategic-merge-patch+json" if kind.origin != Origin::Custom => merge(&mut next, sent),
        "application/json-patch+json" => {
            let steps: Patch = serde_json::from_value(sent.clone()).map_err(|error| Failure::bad(error.to_string()))?;
            json_patch(&mut next, &steps).map_err(|error| Failure::new(422, "Invalid", error.to_string()))?;
        }
        other => {
            let why = format!("the body of the request was in an unknown format - {other}");
            return Err(Failure::new(415, "UnsupportedMediaType", why));
        }
    }
    update(state, call, next)
}

/// All that a user asks for: everything but metadata and status.
fn desired(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, "metadata");
    remove(&mut object, "status");
    object
}

pub fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

fn has_generation(kind: &Kind) -> bool {
    kind.has_status() && kind.kind != "Namespace"
}

/// Null is the same as nothing.
fn set(object: &mut Value, field: &str, value: Value) {
    if value.is_null() {
        remove(object, field);
    } else {
        object[field] = value;
    }
}

pub fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}
