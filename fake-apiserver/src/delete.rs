//! Deletions: preconditions, grace, finalizers, and evictions, which ask the disruption budgets first.
//!
//! The order of steps is that of the API server's own `BeforeDelete` and `Store.Delete`:
//! <https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go>

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    kind::{Kind, Origin},
    select::Selector,
    server::{Answer, Call, State},
    write::{has_finalizers, remove},
};

/// Deletes an object, or marks it; `options` are the DeleteOptions of the request.
pub fn delete(state: &mut State, call: &Call<'_>, options: &Value) -> Result<Value, Failure> {
    let (kind, name, key) = (call.kind(), &call.route.name, call.key());
    let current = state.store.get(&key).cloned().ok_or_else(|| Failure::not_found(kind, name))?;
    preconditions(kind, name, &current, options)?;
    let dry_run = call.route.dry_run || options["dryRun"] == json!(["All"]);
    let mut marked = Value::clone(&current);
    let grace = match grace(kind, &current, options) {
        Grace::None => 0,
        Grace::Pending => return Ok(marked),
        Grace::Mark(seconds) => {
            mark(&mut marked, seconds, call.now);
            seconds
        }
    };
    if dry_run {
        return Ok(marked);
    }
    if has_finalizers(&current) || kind.kind == "Namespace" {
        if current["metadata"]["deletionTimestamp"].is_null() && !matches!(kind.origin, Origin::Pod) {
            mark(&mut marked, 0, call.now);
        }
        if kind.kind == "Namespace" {
            marked["status"]["phase"] = json!("Terminating");
        }
        return Ok(put(state, call, &current, marked));
    }
    let marked = if marked == *current { marked } else { put(state, call, &current, marked) };
    if grace > 0 {
        return Ok(marked);
    }
    let last = state.store.remove(&key, call.by);
    if let Some(last) = last.filter(|_| kind.origin == Origin::Pod) {
        return Ok(Value::clone(&last));
    }
    let details = json!({"name": name, "group": kind.group, "kind": kind.plural, "uid": current["metadata"]["uid"]});
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}))
}

fn put(state: &mut State, call: &Call<'_>, current: &Arc<Value>, marked: Value) -> Value {
    if marked == **current {
        return marked;
    }
    Value::clone(&state.store.put(call.key(), marked, call.by))
}

fn preconditions(kind: &Kind, name: &str, current: &Value, options: &Value) -> Result<(), Failure> {
    for (field, real, what) in [("uid", "uid", "UID"), ("resourceVersion", "resourceVersion", "ResourceVersion")] {
        let (wanted, real) = (&options["preconditions"][field], &current["metadata"][real]);
        if wanted.is_string() && wanted != real {
            let why = format!(
                "the {what} in the precondition ({}) does not match the {what} in record ({})",
                wanted.as_str().unwrap_or_default(),
                real.as_str().unwrap_or_default()
            );
            return Err(Failure::conflict(kind, name, &why));
        }
    }
    Ok(())
}

enum Grace {
    /// It goes at once, without a mark.
    None,
    /// It is on its way already.
    Pending,
    /// It is marked with so many seconds.
    Mark(i64),
}

fn grace(kind: &Kind, current: &Value, options: &Value) -> Grace {
    if kind.origin != Origin::Pod {
        return Grace::None;
    }
    let asked = options["gracePeriodSeconds"].as_i64();
    let metadata = &current["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        return match asked {
            _ if left == 0 => Grace::None,
            // Only a shorter time may be asked for.
            Some(seconds) if seconds < left => Grace::Mark(seconds),
            _ => Grace::Pending,
        };
    }
    let own = current["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    let scheduled = current["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let ended = matches!(current["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let seconds = if !scheduled || ended { 0 } else { asked.unwrap_or(own) };
    Grace::Mark(if seconds < 0 { 1 } else { seconds })
}

/// With the moment at which it should be gone.
fn mark(object: &mut Value, seconds: i64, now: Timestamp) {
    let metadata = &mut object["metadata"];
    let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let marked: Option<Timestamp> = metadata["deletionTimestamp"].as_str().and_then(|text| text.parse().ok());
    let since = marked.map_or(now, |until| until - SignedDuration::from_secs(left));
    if marked.is_none() && metadata["generation"].is_i64() {
        metadata["generation"] = json!(metadata["generation"].as_i64().unwrap_or(0) + 1);
    }
    let until = since + SignedDuration::from_secs(seconds);
    metadata["deletionTimestamp"] = json!(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    metadata["deletionGracePeriodSeconds"] = json!(seconds);
}

/// Deletes a pod if no disruption budget speaks against it.
pub fn evict(state: &mut State, call: &Call<'_>, sent: &Value) -> Answer {
    let (kind, name) = (call.kind(), &call.route.name);
    let pod = state.store.get(&call.key()).cloned().ok_or_else(|| Failure::not_found(kind, name))?;
    let mut options = sent["deleteOptions"].clone();
    if options.is_null() {
        options = json!({});
    }
    let running = pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
    if running && !budgets_allow(state, call, &pod) {
        let why = "Cannot evict pod as it would violate the pod's disruption budget.";
        let cause = Some(("DisruptionBudget", "The disruption budget needs the pod.".into()));
        return Err(Failure { cause, ..Failure::new(429, "TooManyRequests", why) });
    }
    // A budget is asked before it is known whether this pod is meant.
    preconditions(kind, name, &pod, &options)?;
    remove(&mut options, "dryRun");
    // The pod is told first why it goes, so that its version is another one when it is deleted.
    let mut told = Value::clone(&pod);
    let conditions = told["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if !conditions.iter().any(|condition| condition["type"] == "DisruptionTarget") {
        let why = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"});
        told["status"]["conditions"] = conditions.into_iter().chain([why]).collect();
        let told = state.store.put(call.key(), told, call.by);
        if options["preconditions"]["resourceVersion"].is_string() {
            options["preconditions"]["resourceVersion"] = told["metadata"]["resourceVersion"].clone();
        }
    }
    delete(state, call, &options)?;
    Ok((201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})))
}

fn budgets_allow(state: &State, call: &Call<'_>, pod: &Value) -> bool {
    let namespace = &call.route.namespace;
    let Some(budgets) = call.kinds.iter().position(|kind| kind.kind == "PodDisruptionBudget") else { return true };
    let selector = |budget: &Value| {
        let labels = budget["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        let terms: Vec<_> =
            labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        Selector::parse(&terms.join(","), "")
    };
    state.store.list(budgets, namespace).all(|(_, budget)| {
        let Ok(selector) = selector(budget) else { return false };
        if !selector.matches(pod) {
            return true;
        }
        let pods = state.store.list(call.route.kind, namespace).map(|(_, pod)| pod);
        let healthy = pods.filter(|pod| selector.matches(pod) && is_healthy(pod)).count() as u64;
        let needed = budget["spec"]["minAvailable"].as_u64().unwrap_or(0);
        // What is not ready is not counted, and is not missed as long as enough others are.
        let spare = !is_healthy(pod) && healthy == needed && needed > 0;
        healthy > needed || spare
    })
}

fn is_healthy(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["metadata"]["deletionTimestamp"].is_null() && conditions.into_iter().any(ready)
}
