//! What is remembered: runs in figures, and figures over them.

use breakwater_breaker::State;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Duration, Verdict};

/// A run in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Pods killed, or workloads restarted.
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
    /// Attempts of all client replicas that failed or were refused since the baseline.
    #[serde(default)]
    pub errors: u64,
    /// Things that others did to the targets during the run; after eight they are not counted on.
    #[serde(default)]
    pub disturbances: u32,
    /// The outage in its parts; of several rounds, the last one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// An outage in its parts: how long after the first kill each of them came. Of several client replicas, the last one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// The last ready target was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_lost: Option<Duration>,
    /// A client first said that an attempt had failed; good to observe.interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<Duration>,
    /// The breaker opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Duration>,
    /// A target was ready again after the hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_ready: Option<Duration>,
    /// The breaker let the trial call through that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_open: Option<Duration>,
    /// The breaker closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Duration>,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// Its id, unique for ever.
    pub id: Uuid,
    /// Its number within the experiment, from 1.
    pub number: u64,
    /// The moment of the schedule that it was started for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// When the operator began it.
    pub started_at: Timestamp,
    /// When its verdict was given.
    pub completed_at: Timestamp,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, in a word.
    pub reason: crate::Reason,
    /// The same in a sentence, with figures.
    #[serde(default)]
    pub message: String,
    /// The run in figures; of several rounds the worst times.
    pub summary: Summary,
}

/// Figures over the runs in status.history; dry runs are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// How many runs these figures are of.
    pub runs: u32,
    /// How many of them passed.
    pub passed: u32,
    /// The same in percent, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_rate: Option<u32>,
    /// The time to open of those runs that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_open: Option<Spread>,
    /// The time to close of those runs that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_close: Option<Spread>,
}

/// A figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many runs have it.
    pub runs: u32,
    /// The middle one; of an even number, the lower of the two in the middle.
    pub median: Duration,
    /// The longest.
    pub worst: Duration,
}
