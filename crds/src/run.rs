//! A run as the status tells it: its moments, its rounds, its kills.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Replica, Summary};

/// A run, step by step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Unique for ever: made from the experiment's uid and the run's number.
    pub id: Uuid,
    /// Its number within the experiment, from 1.
    #[serde(default)]
    pub number: u64,
    /// What the choice of pods is drawn by: the same seed chooses the same ones of the same pods.
    #[serde(default)]
    pub seed: Uuid,
    /// The moment of the schedule that it was started for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// When the operator began it.
    pub started_at: Timestamp,
    /// Of two runs with targets in common the one with the lower ticket goes first: the resourceVersion under which the run was
    /// first read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
    /// Up to when it waited for another experiment, or paused between rounds; the baseline is waited for from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_until: Option<Timestamp>,
    /// When the first baseline was good: targets ready, every breaker closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_at: Option<Timestamp>,
    /// The round that it is in, from 1.
    #[serde(default = "first_round")]
    pub round: u32,
    /// The rounds that have ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
    /// When the baseline of this round was good. What follows up to firstKillAt is of this round alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_at: Option<Timestamp>,
    /// The number of the round's first set of kills.
    #[serde(default)]
    pub first_slot: u64,
    /// How many pods the round may have down at once: the size of its first set, or all.
    #[serde(default)]
    pub blast_radius: u32,
    /// When the hold ends; the moment of the plan where nothing is held. No replacement is killed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Timestamp>,
    /// When no target was ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_lost_at: Option<Timestamp>,
    /// When a target was ready again after the kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_ready_at: Option<Timestamp>,
    /// When a target was seen ready although the outage was being held, as after the operator was away: the clients may have
    /// been served then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_in_hold_at: Option<Timestamp>,
    /// Since when, in the hold, a target served for longer than it takes to kill it, though nothing protects it: nobody held the outage
    /// then, and no client has shown that it bears a whole one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheld_at: Option<Timestamp>,
    /// When a client first said that an attempt had failed, after the first kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure_at: Option<Timestamp>,
    /// When the first kill was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_kill_at: Option<Timestamp>,
    /// When the verdict was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// The number of the newest set of kills. It only rises, so no set is chosen twice.
    #[serde(default)]
    pub slot: u64,
    /// Uids of the pods that matched the selector when the round chose, and were not chosen; and of those by which the target was
    /// scaled up since. They are not killed in this round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
    /// Uids of the pods that have replaced killed ones and outlive the round's kills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survivors: Vec<String>,
    /// The newest kills, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<KillRecord>,
    /// Older kills that are no longer in the list.
    #[serde(default)]
    pub kills_dropped: u64,
    /// Pods killed, those no longer in the list included.
    #[serde(default)]
    pub killed: u64,
    /// Uids of what owned the targets at the round's baseline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// What others did to the targets during the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<Disturbance>,
    /// The client replicas that are watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Replica>,
}

/// A round that has ended as expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// Its number, from 1.
    pub number: u32,
    /// When its baseline was good.
    pub baseline_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// How it went.
    pub summary: Summary,
}

/// What somebody else did to a target: its pod was deleted, scaled away, evicted or relabelled, or a rollout brought new pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disturbance {
    /// PodGone: a pod that was to be left alone ended or went out of the target. RolledOut: pods of another owner came.
    pub kind: DisturbanceKind,
    /// Uid of the pod, or of the new owner.
    pub uid: String,
    /// When the operator saw it.
    pub observed_at: Timestamp,
}

/// What somebody else did.
#[allow(missing_docs, reason = "documented at Disturbance::kind")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DisturbanceKind {
    PodGone,
    RolledOut,
}

/// One kill. It is written with the outcome Planned before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillRecord {
    /// The round that it belongs to.
    #[serde(default = "first_round")]
    pub round: u32,
    /// The set of kills that it belongs to.
    pub slot: u64,
    /// Name of the pod; with method RolloutRestart, of the workload.
    pub pod: String,
    /// Its uid: another one of that name is not meant.
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
    /// Planned: not sent yet, or the answer is not known yet. Deleted: the API server took the delete. Evicted: it took the
    /// eviction. Restarted: it took the workload's restart. Gone: the pod was gone, going or not
    /// of the target any more when it was looked at again. Blocked: a PodDisruptionBudget or minAvailable forbids it; message says
    /// which. DryRun: it would have been sent. Failed: it was refused, or not sent; message says why. Unknown: nobody could look
    /// whether it was done; message says why.
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
    Evicted,
    Restarted,
    Gone,
    Blocked,
    DryRun,
    Failed,
    Unknown,
}

fn first_round() -> u32 {
    1
}
