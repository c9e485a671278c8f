//! What the operator tells: the status of a `ChaosExperiment`.
//!
//! The status is the operator's log as well as its report: a kill stands in it before it is sent, and a replica's cursor
//! moves in the same write as the transitions that it covers. Every list is bounded; a counter says what was dropped.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PastRun, Run, Statistics, Summary};

/// Kills kept in the status, newest last; also how many pods one set of kills may name.
pub const MAX_KILLS: usize = 128;
/// What is said of a kill that failed because its time was over before it could be sent.
pub const NOT_IN_TIME: &str = "not sent in time";
/// Bytes kept of what there is to say about a kill.
pub const MAX_MESSAGE: usize = 200;
/// Bytes kept of what a run in the history had to say.
pub const MAX_PAST_MESSAGE: usize = 400;
/// Transitions kept for each replica, newest last.
pub const MAX_TRANSITIONS: usize = 16;
/// States kept of a replica's way; one more than an expectation can have, so that a longer way never looks as expected.
pub const MAX_SEQUENCE: usize = 17;
/// Gaps kept for each replica, newest last.
pub const MAX_GAPS: usize = 8;
/// Client replicas that one run watches.
pub const MAX_REPLICAS: usize = 20;
/// Disturbances kept in a run.
pub const MAX_DISTURBANCES: usize = 8;
/// Owners of a target's pods that a run knows.
pub const MAX_OWNERS: usize = 16;
/// Pods that the selector may match besides those to be killed: their uids are remembered.
pub const MAX_SPARED: usize = 1000;

/// Where an experiment stands and what came of it; written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosExperimentStatus {
    /// The metadata.generation that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the experiment is: Suspended, Waiting (for its time, for another experiment, or between two rounds), Baseline
    /// (waiting for ready targets and closed breakers), Killing, Recovering (waiting for the breakers to close), Observing (where
    /// they must stay closed), Completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// How the last run ended; absent while one is under way. Passed: every breaker did as expected. Failed: one did not.
    /// Inconclusive: the run proves nothing, reason says why. Aborted: it was stopped. DryRun: nothing was killed, as was asked for.
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
    /// When schedule.cron or schedule.at starts the next run; absent where none will start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Timestamp>,
    /// Starts of the schedule that were skipped: the operator was away or halted, or a run was under way. Of one absence at most
    /// 1000 are counted.
    #[serde(default)]
    pub missed_runs: u64,
    /// Runs that have begun.
    #[serde(default)]
    pub runs: u64,
    /// The run in figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The run that is under way, or the last one, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Runs that have ended, newest last; as many as spec.historyLimit says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastRun>,
    /// Older runs that are no longer in the history.
    #[serde(default)]
    pub history_dropped: u64,
    /// Figures over the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

/// Where a run is.
#[allow(missing_docs, reason = "documented at ChaosExperimentStatus::phase")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    Suspended,
    Waiting,
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
    DryRun,
}

/// Why an experiment stands where it stands.
// No comments on the variants of enums here: with them the schema is a `oneOf`, which Kubernetes' structural schemas refuse.
#[allow(missing_docs, reason = "each is explained in the README's table of reasons")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    // On the way
    Suspended,
    Scheduled,
    Starting,
    NeverDue,
    AnotherExperiment,
    BetweenRounds,
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
    TooManyErrors,
    // Inconclusive
    InvalidSpec,
    StartMissed,
    PodsNotListed,
    NoTargets,
    TargetsNotReady,
    TooManyTargets,
    NoClients,
    TooManyClients,
    BaselineNotClosed,
    KillFailed,
    KillBlocked,
    Disturbed,
    BreakerNeverOpened,
    NoTraffic,
    ObservationGap,
    // Aborted
    AbortRequested,
    Halted,
    Timeout,
    ClockWentBack,
    // DryRun
    WouldKill,
}
