//! A client replica as the status tells it: its breaker's transitions, each once and in order, or a gap.

use breakwater_breaker::State;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Duration;

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
    /// The states it went through since the round's baseline; HalfOpen, Open, HalfOpen counts as one HalfOpen.
    pub sequence: Vec<State>,
    /// How often it fell back from HalfOpen to Open in this round.
    #[serde(default)]
    pub flaps: u32,
    /// Somebody forced its breaker into a state by hand since the baseline: what it does is no evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// From the round's first kill to its first opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_open: Option<Duration>,
    /// From the end of the hold to its last closing; 0s where it closed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_close: Option<Duration>,
    /// Calls that its breaker let through or refused, from the process's start to the round's baseline.
    #[serde(default)]
    pub calls_at_baseline: u64,
    /// The same up to the newest record.
    #[serde(default)]
    pub calls: u64,
    /// Attempts that failed or were refused, from the process's start to the run's first baseline.
    #[serde(default)]
    pub errors_at_baseline: u64,
    /// The same up to the newest record.
    #[serde(default)]
    pub errors: u64,
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
