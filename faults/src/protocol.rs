//! The way in which a pod is killed: looked at, then sent with what was seen as its condition, once.

use std::collections::BTreeMap;

use breakwater_fake_apiserver::{Logged, State, Verb};
use serde_json::Value;

use crate::{
    backend::{is_backend, is_ready},
    lab::Played,
};

/// What is wrong with the kills that operators sent, whether the server took them or not.
pub fn protocol(played: &Played) -> Vec<String> {
    let state = played.server.state();
    let min = played.workload.min_available as usize;
    let stale = played.network.lagged();
    let mut wrong = vec![];
    // The last look of each operator at each pod, and at all pods: the revision that it was shown.
    let mut looks: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for request in state.requests.iter().filter(|request| request.kind == "pods" && request.by.starts_with("operator-"))
    {
        let object = request.object.trim_end_matches("/eviction");
        match request.verb {
            Verb::Get | Verb::List => drop(looks.insert((&request.by, object), request.revision)),
            Verb::Delete | Verb::Create => {
                let pod = object.rsplit('/').next().unwrap_or_default();
                let Some(seen) = looks.remove(&(&*request.by, object)) else {
                    wrong.push(format!("{pod} was to be killed, and not looked at before, by {}", request.by));
                    continue;
                };
                if conditions(request).is_none_or(|named| Some(named) != seen_of(&state, object, seen)) {
                    wrong.push(format!("{pod} was to be killed on other conditions than what was seen of it"));
                }
                let listed = object.rsplit_once('/').and_then(|(all, _)| looks.get(&(&*request.by, all)));
                let listed = listed.copied().unwrap_or(0);
                if min > 0 && ready(&state, seen).contains(&pod.to_string()) {
                    let left = ready(&state, listed).iter().filter(|other| *other != pod).count();
                    let asked = stale || listed >= seen;
                    if !asked || left < min {
                        wrong.push(format!("{pod} was to be killed, and {left} were seen to be left of {min}"));
                    }
                }
            }
            _ => {}
        }
    }
    wrong
}

/// Uid and version on condition of which a pod is to be killed; nothing where one is missing.
fn conditions(request: &Logged) -> Option<(String, String)> {
    let sent = request.sent.as_ref()?;
    let options = if request.verb == Verb::Delete { sent } else { &sent["deleteOptions"] };
    both(&options["preconditions"])
}

fn both(of: &Value) -> Option<(String, String)> {
    Some((of["uid"].as_str()?.into(), of["resourceVersion"].as_str()?.into()))
}

/// Uid and version of a pod, `namespace/name`, as it was at a revision.
fn seen_of(state: &State, pod: &str, revision: u64) -> Option<(String, String)> {
    let is_it = |object: &Value| {
        let metadata = &object["metadata"];
        object["kind"] == "Pod"
            && pod
                .split_once('/')
                .is_some_and(|(namespace, name)| metadata["namespace"] == namespace && metadata["name"] == name)
    };
    both(&state.store.at(revision).into_values().find(|object| is_it(object))?["metadata"])
}

/// Names of the targets that were ready at a revision.
fn ready(state: &State, revision: u64) -> Vec<String> {
    let all = state.store.at(revision).into_values();
    let targets = all.filter(|object| object["kind"] == "Pod" && is_backend(object));
    targets.filter(|pod| is_ready(pod)).map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().into()).collect()
}
