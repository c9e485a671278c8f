//! The conditions, as Kubernetes' API conventions want them: always in the same order, and with a new transition time only
//! when the status of one changes.

use breakwater_crds::{ChaosExperimentStatus, Reason, Verdict};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::baseline::Missing;
use crate::world::World;

const TARGETS_FOUND: &str = "TargetsFound";
const CLIENTS_OBSERVED: &str = "ClientsObserved";
const COMPLETE: &str = "Complete";
const PASSED: &str = "Passed";

/// What the baseline lacks.
pub fn missing(status: &mut ChaosExperimentStatus, missing: &Missing, now: Timestamp) {
    let (reason, message) = (format!("{:?}", missing.reason), missing.message.as_str());
    if matches!(missing.reason, Reason::NoTargets | Reason::TargetsNotReady | Reason::TooManyTargets) {
        set(status, TARGETS_FOUND, "False", &reason, message, now);
        set(
            status,
            CLIENTS_OBSERVED,
            "Unknown",
            "WaitingForTargets",
            "the clients are looked at once targets are ready",
            now,
        );
    } else {
        set(status, TARGETS_FOUND, "True", "TargetsReady", "target pods are ready", now);
        set(status, CLIENTS_OBSERVED, "False", &reason, message, now);
    }
}

/// The baseline is good.
pub fn found(status: &mut ChaosExperimentStatus, world: &World, replicas: usize, now: Timestamp) {
    let ready = world.targets.iter().filter(|pod| pod.ready).count();
    set(status, TARGETS_FOUND, "True", "TargetsReady", &format!("{ready} target pods ready at the baseline"), now);
    let message = format!("{replicas} client replicas watched, every breaker Closed at the baseline");
    set(status, CLIENTS_OBSERVED, "True", "Observed", &message, now);
}

/// A run begins: nothing is known of it yet.
pub fn begin(status: &mut ChaosExperimentStatus, now: Timestamp) {
    for type_ in [TARGETS_FOUND, CLIENTS_OBSERVED] {
        set(status, type_, "Unknown", "NotLookedYet", "the run has just begun", now);
    }
}

/// What follows from the verdict, and from whether the experiment has `finished` for good.
pub fn update(status: &mut ChaosExperimentStatus, finished: bool, now: Timestamp) {
    let reason = status.reason.map_or("Pending".into(), |reason| format!("{reason:?}"));
    let message = status.message.clone().unwrap_or_default();
    let complete = if finished { "True" } else { "False" };
    let passed = match status.verdict {
        Some(Verdict::Passed) => "True",
        Some(_) => "False",
        None => "Unknown",
    };
    for type_ in [TARGETS_FOUND, CLIENTS_OBSERVED] {
        if !status.conditions.iter().any(|condition| condition.type_ == type_) {
            set(status, type_, "Unknown", "NotLookedYet", "no run has begun", now);
        }
    }
    if status.reason == Some(Reason::ObservationGap) {
        set(status, CLIENTS_OBSERVED, "False", &reason, &message, now);
    }
    set(status, COMPLETE, complete, &reason, &message, now);
    set(status, PASSED, passed, &reason, &message, now);
    let order = [TARGETS_FOUND, CLIENTS_OBSERVED, COMPLETE, PASSED];
    status.conditions.sort_by_key(|condition| order.iter().position(|type_| *type_ == condition.type_));
}

fn set(status: &mut ChaosExperimentStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let old =
        status.conditions.iter().position(|condition| condition.type_ == type_).map(|at| status.conditions.remove(at));
    let unchanged = old.filter(|condition| condition.status == value);
    status.conditions.push(Condition {
        type_: type_.into(),
        status: value.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: status.observed_generation,
        last_transition_time: unchanged.map_or(Time(now), |condition| condition.last_transition_time),
    });
}
