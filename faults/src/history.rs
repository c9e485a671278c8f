//! What the server's log says of experiments and pods, in order.

use std::collections::BTreeMap;

use breakwater_crds::ChaosExperiment;
use breakwater_fake_apiserver::{Change, FakeApiServer, Verb};
use jiff::Timestamp;
use serde_json::Value;

/// Something that happened, as the invariants see it.
pub enum Step {
    /// A version of an experiment, by the uid of it.
    Experiment(Box<ChaosExperiment>),
    /// An experiment was deleted.
    ExperimentGone(Change),
    /// A pod was deleted or told to end for the first time, by this user. The value is what it was before.
    PodEnds(Change),
    /// Anything else that happened to a pod.
    Pod(Change),
    /// Something happened to a Deployment.
    Workload(Change),
}

/// The steps of a run.
pub fn steps(server: &FakeApiServer) -> Vec<Step> {
    let kinds: Vec<_> = server.kinds().iter().map(|kind| kind.kind).collect();
    let state = server.state();
    let understood = state.store.since(0).iter().filter_map(|change| match kinds[change.key.0] {
        "ChaosExperiment" if change.deleted => Some(Step::ExperimentGone(change.clone())),
        "ChaosExperiment" => {
            let experiment = serde_json::from_value(Value::clone(&change.object)).ok()?;
            Some(Step::Experiment(Box::new(experiment)))
        }
        "Pod" if ends(change) => Some(Step::PodEnds(change.clone())),
        "Pod" => Some(Step::Pod(change.clone())),
        "Deployment" => Some(Step::Workload(change.clone())),
        _ => None,
    });
    understood.collect()
}

fn ends(change: &Change) -> bool {
    let Some(before) = &change.before else { return false };
    let was_marked = before["metadata"]["deletionTimestamp"].is_string();
    !was_marked && (change.deleted || change.object["metadata"]["deletionTimestamp"].is_string())
}

/// When a revision was made, by the server's clock: which request made it is told by the first one that ended at it or after it.
pub fn when(server: &FakeApiServer, revision: u64) -> Option<Timestamp> {
    let state = server.state();
    let made = state.requests.iter().filter(|request| {
        request.revision >= revision && !matches!(request.verb, Verb::Get | Verb::List | Verb::Watch)
    });
    made.map(|request| request.at).min()
}

/// The uid of an object.
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().into()
}

/// The last version of each experiment, by its uid.
pub fn experiments(steps: &[Step]) -> BTreeMap<String, ChaosExperiment> {
    let mut all = BTreeMap::new();
    for step in steps {
        if let Step::Experiment(experiment) = step {
            all.insert(experiment.metadata.uid.clone().unwrap_or_default(), ChaosExperiment::clone(experiment));
        }
    }
    all
}

/// The experiment as it stood at the end, or when it was deleted; of several under the name the newest.
pub fn last(steps: &[Step]) -> Option<&ChaosExperiment> {
    steps.iter().rev().find_map(|step| match step {
        Step::Experiment(experiment) if experiment.metadata.name.as_deref() == Some("outage") => Some(&**experiment),
        _ => None,
    })
}
