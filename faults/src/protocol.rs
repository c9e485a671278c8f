//! The way in which a pod is killed: looked at, then sent with what was seen as its condition, once.

use std::collections::BTreeMap;

use breakwater_fake_apiserver::{Logged, State, Verb};
use serde_json::Value;

use crate::{backend::is_ready, lab::Played};

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
                if !is_conditional(request) {
                    wrong.push(format!("{pod} was to be killed without preconditions"));
                }
                let Some(seen) = looks.remove(&(&*request.by, object)) else {
                    wrong.push(format!("{pod} was to be killed, and not looked at before, by {}", request.by));
                    continue;
                };
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

fn is_conditional(request: &Logged) -> bool {
    let sent = request.sent.clone().unwrap_or(Value::Null);
    let options = if request.verb == Verb::Delete { &sent } else { &sent["deleteOptions"] };
    ["uid", "resourceVersion"].iter().all(|field| options["preconditions"][field].is_string())
}

/// Names of the targets that were ready at a revision.
fn ready(state: &State, revision: u64) -> Vec<String> {
    let all = state.store.at(revision).into_values();
    let targets = all.filter(|object| object["kind"] == "Pod" && object["metadata"]["labels"]["app"] == "backend");
    targets.filter(|pod| is_ready(pod)).map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().into()).collect()
}
