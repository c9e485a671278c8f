//! What the operator tells: the status of a `ChaosExperiment`.
//!
//! The status is the operator's log as well as its report: a kill stands in it before it is sent, and a replica's cursor
//! moves in the same write as the transitions that it covers. Every list is bounded; a counter says what was dropped.

use breakwater_breaker::State;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Duration;

/// Kills kept in the status, newest last; also how many pods one set of kills may name.
pub const MAX_KILLS: usize = 128;
/// Bytes kept of what there is to say about a kill.
pub const MAX_MESSAGE: usize = 200;
/// Transitions kept for each replica, newest last.
pub const MAX_TRANSITIONS: usize = 20;
/// Gaps kept for each replica, newest last.
pub const MAX_GAPS: usize = 8;
/// Client replicas that one run watches.
pub const MAX_REPLICAS: usize = 20;
/// Pods that the selector may match besides those to be killed: their uids are remembered.
pub const MAX_SPARED: usize = 1000;

/// Where an experiment stands and what came of it; written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosExperimentStatus {
    /// The metadata.generation that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the run is: Suspended, Baseline (waiting for ready targets and closed breakers), Killing, Recovering
    /// (waiting for the breakers to close), Observing (where they must stay closed), Completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// How it ended. Passed: every breaker did as expected. Failed: one did not. Inconclusive: the run proves nothing, reason
    /// says why. Aborted: it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it stands where it stands, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<crate::Reason>,
    /// The same in a sentence, with figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// TargetsFound, ClientsObserved, Complete and Passed, for kubectl wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The run in figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The run, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// Where a run is.
#[allow(missing_docs, reason = "documented at ChaosExperimentStatus::phase")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    Suspended,
    Baseline,
    Killing,
    Recovering,
    Observing,
    Completed,
}

/// How a run ended.
#[allow(missing_docs, reason = "documented at ChaosExperimentStatus::verdict")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    Passed,
    Failed,
    Inconclusive,
    Aborted,
}

/// Why an experiment stands where it stands.
// No comments on the variants of enums here: with them the schema is a `oneOf`, which Kubernetes' structural schemas refuse.
#[allow(missing_docs, reason = "each is explained in the README's table of reasons")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    // On the way
    Suspended,
    HoldingOutage,
    WaitingForOpen,
    WaitingForClose,
    Watching,
    // Passed
    AsExpected,
    // Failed
    OpenedTooLate,
    NotClosedInTime,
    TooManyFlaps,
    UnexpectedSequence,
    BreakerOpened,
    // Inconclusive
    InvalidSpec,
    PodsNotListed,
    NoTargets,
    TargetsNotReady,
    TooManyTargets,
    NoClients,
    TooManyClients,
    BaselineNotClosed,
    KillFailed,
    BreakerNeverOpened,
    NoTraffic,
    ObservationGap,
    // Aborted
    Timeout,
    ClockWentBack,
}

/// A run in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Pods killed.
    pub kills: u64,
    /// State of the clients' breakers; of several, the one furthest from Closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<State>,
    /// From the first kill to the opening of the last breaker to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_open: Option<Duration>,
    /// From the end of the hold to the closing of the last breaker to close; 0s where it closed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_close: Option<Duration>,
    /// How long no target was ready, from the first moment without to the first with one again after the kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Duration>,
}

/// A run, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Unique for ever: made from the experiment's uid.
    pub id: Uuid,
    /// When the operator began to look for a baseline.
    pub started_at: Timestamp,
    /// When the baseline was good: targets ready, every breaker closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_at: Option<Timestamp>,
    /// When the hold ends; the moment of the plan where nothing is held. No replacement is killed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Timestamp>,
    /// When no target was ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_lost_at: Option<Timestamp>,
    /// When a target was ready again after the kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_ready_at: Option<Timestamp>,
    /// When the verdict was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// The number of the newest set of kills. It only rises, so no set is chosen twice.
    #[serde(default)]
    pub slot: u64,
    /// Uids of the pods that matched the selector when the run chose, and were not chosen; and of those by which the target was
    /// scaled up since. They are never killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
    /// The newest kills, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<KillRecord>,
    /// Older kills that are no longer in the list.
    #[serde(default)]
    pub kills_dropped: u64,
    /// Pods killed, those no longer in the list included.
    #[serde(default)]
    pub killed: u64,
    /// When the first kill was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_kill_at: Option<Timestamp>,
    /// The client replicas that are watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Replica>,
}

/// One kill. It is written with the outcome Planned before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillRecord {
    /// The set of kills that it belongs to.
    pub slot: u64,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod: another pod of that name is not the one.
    pub uid: String,
    /// The version of the pod that was chosen. It is looked at once more right before the delete, which names the version seen
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Node of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it was written down.
    pub planned_at: Timestamp,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Planned: not sent yet, or the answer is not known yet. Deleted: the API server took the delete. Gone: the pod was gone or
    /// going when it was looked at again. Failed: it was refused, or not sent; message says why.
    pub outcome: Outcome,
    /// What there is to say about the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What came of a kill.
#[allow(missing_docs, reason = "documented at KillRecord::outcome")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    Planned,
    Deleted,
    Gone,
    Failed,
}

/// One replica of a client, and what its breaker did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Which of spec.observe.clients it belongs to.
    pub client: String,
    /// Name of its pod.
    pub pod: String,
    /// Uid of its pod.
    pub uid: String,
    /// The process that the cursor belongs to, as its status endpoint calls it.
    pub epoch: Uuid,
    /// Sequence number of the newest transition that is recorded: the cursor.
    pub seq: u64,
    /// State of its breaker after that transition.
    pub breaker: State,
    /// The states it went through since the baseline; HalfOpen, Open, HalfOpen counts as one HalfOpen.
    pub sequence: Vec<State>,
    /// How often it fell back from HalfOpen to Open.
    #[serde(default)]
    pub flaps: u32,
    /// From the first kill to its first opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_open: Option<Duration>,
    /// From the end of the hold to its last closing; 0s where it closed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_close: Option<Duration>,
    /// Calls that its breaker let through or refused, from the process's start to the baseline.
    #[serde(default)]
    pub calls_at_baseline: u64,
    /// The same up to the newest record.
    #[serde(default)]
    pub calls: u64,
    /// The newest transitions since the baseline, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<TransitionRecord>,
    /// Older transitions that are no longer in the list.
    #[serde(default)]
    pub transitions_dropped: u64,
    /// What was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Older gaps that are no longer in the list.
    #[serde(default)]
    pub gaps_dropped: u64,
}

/// A transition of a breaker, as its client recorded it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionRecord {
    /// Its number within the client's process.
    pub seq: u64,
    /// The state before; absent for the start of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
    /// The state after.
    pub to: State,
    /// When, by the client's wall clock.
    pub at: Timestamp,
    /// The same moment by the operator's clock: when the client was asked, less the transition's age by the client's monotonic
    /// clock. Good to half the poll's round trip, whatever the client's wall clock says.
    pub aligned_at: Timestamp,
    /// When the operator read it.
    pub observed_at: Timestamp,
    /// Why, as the client says it.
    pub cause: String,
}

/// Transitions that were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// InstanceRestart: the process started anew, and what it had not told is lost. RingOverrun: the client kept fewer than
    /// had happened. ReplicaGone: its pod went away. NoAnswer: it did not answer for longer than the limit.
    pub reason: GapReason,
    /// When the operator saw it.
    pub observed_at: Timestamp,
    /// How many transitions are missing, where the client could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
}

/// Why transitions were lost.
#[allow(missing_docs, reason = "documented at Gap::reason")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GapReason {
    InstanceRestart,
    RingOverrun,
    ReplicaGone,
    NoAnswer,
}
