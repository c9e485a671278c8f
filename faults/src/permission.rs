//! What a kill stands on: the experiment and the operator-wide halt, as its operator read them right before.

use std::{collections::HashMap, sync::Arc, time::Duration};

use breakwater_crds::ABORT;
use breakwater_fake_apiserver::{Logged, State, Verb};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    lab::{NAMESPACE, Played},
    process::{HALT, SYSTEM},
};

/// A kill is sent within so long after what it stands on was read, but for the time that its operator stands still or its requests
/// are on their way.
const RIGHT_BEFORE: SignedDuration = SignedDuration::from_millis(100);

/// An object in time: its versions by the revisions that made them; none, once it is deleted.
struct Versions(Vec<(u64, Option<Arc<Value>>)>);

impl Versions {
    fn of(played: &Played, state: &State, kind: &str, namespace: &str, name: &str) -> Self {
        let kind = played.server.kinds().iter().position(|known| known.kind == kind).unwrap_or_default();
        let key = (kind, namespace.to_owned(), name.to_owned());
        let changes = state.store.since(0).iter().filter(|change| change.key == key);
        Self(changes.map(|change| (change.revision, (!change.deleted).then(|| change.object.clone()))).collect())
    }

    fn at(&self, revision: u64) -> Option<&Value> {
        let next = self.0.partition_point(|(made, _)| *made <= revision);
        self.0[..next].last()?.1.as_deref()
    }
}

/// An operator's reads of one object: when, and the revision that it was shown.
type Reads<'a> = HashMap<&'a str, Vec<(Timestamp, u64)>>;

/// What is wrong with the kills that operators sent, whether the server took them or not.
pub fn permission(played: &Played) -> Vec<String> {
    let state = played.server.state();
    let experiment = Versions::of(played, &state, "ChaosExperiment", NAMESPACE, "outage");
    let halt = Versions::of(played, &state, "ConfigMap", SYSTEM, HALT);
    let held_up = held_up(played);
    let (outage, halted) = (format!("{NAMESPACE}/outage"), format!("{SYSTEM}/{HALT}"));
    let (mut experiments, mut halts) = (Reads::new(), Reads::new());
    let mut wrong = vec![];
    for request in state.requests.iter().filter(|request| request.by.starts_with("operator-")) {
        let read = (request.at, request.revision);
        match (request.kind, request.verb) {
            ("chaosexperiments", Verb::Get) if request.object == outage => {
                experiments.entry(&request.by).or_default().push(read);
            }
            ("configmaps", Verb::Get) if request.object == halted => halts.entry(&request.by).or_default().push(read),
            _ => {}
        }
        let Some(victim) = victim(request) else { continue };
        let held_up = held_up.get(&*request.by).copied().unwrap_or_default();
        let before = |reads: &Reads, allows: &dyn Fn(u64) -> bool| {
            let reads = reads.get(&*request.by).map_or(&[][..], Vec::as_slice).iter().rev();
            let mut recent = reads.take_while(|(at, _)| request.at.duration_since(*at) <= RIGHT_BEFORE + held_up);
            recent.any(|(_, revision)| allows(*revision))
        };
        let what = &request.object;
        if !before(&experiments, &|revision| experiment.at(revision).is_some_and(|found| allows(found, victim))) {
            wrong.push(format!(
                "{what} was to be killed at {}, and the experiment that was read did not say so",
                request.at
            ));
        }
        if !before(&halts, &|revision| halt.at(revision).is_none()) {
            wrong
                .push(format!("{what} was to be killed at {}, and it was not asked whether all is halted", request.at));
        }
    }
    wrong
}

/// How long each operator stood still, or its requests were on their way, all together.
fn held_up(played: &Played) -> HashMap<String, SignedDuration> {
    let mut times = HashMap::<_, Duration>::new();
    for (sent, fate) in played.network.sent() {
        if let Some(time) = fate.holds_up() {
            *times.entry(format!("operator-{}", sent.process)).or_default() += time;
        }
    }
    times.into_iter().map(|(by, time)| (by, SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX))).collect()
}

/// Whether an operator asks for a kill: of a pod, or by a workload's restart.
pub fn kills(request: &Logged) -> bool {
    request.by.starts_with("operator-") && victim(request).is_some()
}

/// Whom a request is to kill: the uid of a pod, or nothing for a restart, which says it in its body. `None` for other requests.
fn victim(request: &Logged) -> Option<Option<&str>> {
    let options = match (request.kind, request.verb) {
        ("pods", Verb::Delete) => request.sent.as_ref(),
        ("pods", Verb::Create) if request.object.ends_with("/eviction") => request.sent.as_ref()?.get("deleteOptions"),
        ("deployments" | "statefulsets" | "daemonsets" | "replicasets", Verb::Patch) => return Some(None),
        _ => return None,
    };
    Some(options.and_then(|options| options["preconditions"]["uid"].as_str()))
}

/// Whether an experiment as it was read allows a kill.
fn allows(experiment: &Value, victim: Option<&str>) -> bool {
    let (metadata, status) = (&experiment["metadata"], &experiment["status"]);
    let planned = |kill: &Value| {
        (victim.is_none() || kill["uid"].as_str() == victim)
            && (kill["outcome"] == "Planned" || kill["outcome"] == "Blocked")
    };
    experiment["spec"]["suspend"] != true
        && metadata["annotations"][ABORT].is_null()
        && metadata["deletionTimestamp"].is_null()
        && status["phase"] == "Killing"
        && status["run"]["completedAt"].is_null()
        && status["run"]["kills"].as_array().is_some_and(|kills| kills.iter().any(planned))
}
