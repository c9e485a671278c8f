//! What `GET /status` answers: the types that a client writes and an observer reads.
//!
//! Readers ignore fields that they do not know, and keep a [`Cause`] of a kind that they do not know as
//! [`Cause::Other`], so that a newer client never blinds an older observer.
//!
//! ```
//! use breakwater_breaker::wire::StatusReport;
//!
//! let report: StatusReport = serde_json::from_str(r#"{
//!   "schema": "v1",
//!   "instance": {"epoch": "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11", "podUid": null, "startedAt": "2026-12-01T09:00:00Z"},
//!   "now": {"wall": "2026-12-01T09:00:15Z", "monoNanos": 15000000000},
//!   "breakers": []
//! }"#).unwrap();
//! assert_eq!(report.now.mono().as_secs(), 15);
//! ```

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de, ser};
use uuid::Uuid;

/// The version of this schema, as [`StatusReport::schema`] says it.
pub const SCHEMA: &str = "v1";

/// The whole answer of `GET /status`: one process and its breakers, copied at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// Version of the schema: [`SCHEMA`]. A change that old readers cannot take gets another one.
    pub schema: String,
    /// The process that answers.
    pub instance: Instance,
    /// Its clocks at the moment of the copy; lets the reader bound the difference to its own by half the round trip.
    pub now: Now,
    /// Its breakers.
    pub breakers: Vec<BreakerReport>,
}

impl StatusReport {
    /// The breaker of that name.
    pub fn breaker(&self, name: &str) -> Option<&BreakerReport> {
        self.breakers.iter().find(|breaker| breaker.name == name)
    }
}

/// A process: sequence numbers and `monoNanos` compare only within one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Drawn anew at each start of the process.
    pub epoch: Uuid,
    /// Uid of its pod, if it knows it.
    #[serde(default)]
    pub pod_uid: Option<String>,
    /// When it started, by its wall clock.
    pub started_at: Timestamp,
}

/// One moment by both clocks: the wall clock, which may jump, and the monotonic one, which alone measures durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// The wall clock as it was.
    pub wall: Timestamp,
    /// Nanoseconds on a clock that never goes back, counted from the start of the process (584 years fit).
    pub mono_nanos: u64,
}

impl Now {
    /// A moment `mono` after the start of the process, when the wall clock said `wall`.
    pub fn new(wall: Timestamp, mono: Duration) -> Self {
        Self { wall, mono_nanos: u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// The monotonic part as a duration since the start of the process.
    pub fn mono(&self) -> Duration {
        Duration::from_nanos(self.mono_nanos)
    }
}

/// A breaker as it was at [`StatusReport::now`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerReport {
    /// Its name, unique within the process.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Failures in a row since the last success, those of trial calls included.
    pub consecutive_failures: u64,
    /// When an open breaker is due to let a trial call through; `null` in the other states.
    #[serde(default)]
    pub half_open_at: Option<Timestamp>,
    /// When the first of these failures was known, by the wall clock: when an outage was first felt.
    #[serde(default)]
    pub first_failure_at: Option<Timestamp>,
    /// The same moment by the monotonic clock, to measure from.
    #[serde(default)]
    pub first_failure_mono_nanos: Option<u64>,
    /// Calls counted since the start of the process.
    pub calls: CallCounts,
    /// Transitions after the cursor that was asked for.
    pub transitions: Transitions,
}

/// Calls of a breaker since the start of the process. None of them ever goes down.
///
/// `permitted` is `success + failure + ignored` plus the calls in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallCounts {
    /// Let through. It stands still where there is no traffic.
    pub permitted: u64,
    /// Refused: the breaker was open, or half-open with its trial in flight.
    pub not_permitted: u64,
    /// Succeeded.
    pub success: u64,
    /// Failed.
    pub failure: u64,
    /// Counted as neither: cancelled, cut by a deadline, or let through before the breaker last changed its state.
    pub ignored: u64,
}

/// A piece of a breaker's record of transitions: those after the cursor that was asked for, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transitions {
    /// Sequence number of the oldest transition still kept.
    pub first_seq: u64,
    /// Sequence number of the newest.
    pub last_seq: u64,
    /// How many are kept at most.
    pub capacity: u64,
    /// How many were pushed out by newer ones since the start.
    pub dropped: u64,
    /// Transitions that the reader missed, as they are no longer kept.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// The cursor was another process's: `items` is all that this one keeps.
    #[serde(default)]
    pub epoch_changed: bool,
    /// What to pass as `since` next time.
    pub next: Cursor,
    /// The transitions.
    pub items: Vec<Transition>,
}

/// Sequence numbers that were lost, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The first one lost.
    pub from: u64,
    /// The last one lost.
    pub to: u64,
}

impl Gap {
    /// How many were lost.
    pub fn missing(&self) -> u64 {
        self.to.saturating_add(1).saturating_sub(self.from)
    }
}

/// One change of a breaker's state, numbered from 1 (the start of the process) without a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Its number within the epoch.
    pub seq: u64,
    /// The state before; `null` for the start.
    #[serde(default)]
    pub from: Option<State>,
    /// The state after.
    pub to: State,
    /// When, by the wall clock as it was.
    pub at: Timestamp,
    /// When, by the monotonic clock of the process: durations come from this alone.
    pub mono_nanos: u64,
    /// Why.
    pub cause: Cause,
}

/// State of a circuit breaker: Closed lets calls through, Open refuses them, HalfOpen lets one trial call decide.
// The variants have no doc comments: with them the schema is a `oneOf`, which Kubernetes' structural schemas refuse.
#[allow(missing_docs, reason = "said in the type's sentence")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    /// Every state, in the order of an outage.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Open => "Open",
            Self::HalfOpen => "HalfOpen",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum Cause {
    /// The process started.
    Started,
    /// So many failures in a row.
    ConsecutiveFailures {
        /// How many.
        count: u64,
        /// What was counted.
        unit: Unit,
        /// What the last of them said, in a word or two.
        last_error: String,
    },
    /// The breaker was open as long as it should be.
    OpenTimeElapsed,
    /// The trial call of a half-open breaker succeeded.
    TrialSucceeded,
    /// The trial call of a half-open breaker failed.
    TrialFailed {
        /// What it said, in a word or two.
        last_error: String,
    },
    /// A cause that this version does not know; newer clients may send it.
    #[serde(untagged)]
    Other {
        /// The kind as it was sent.
        kind: String,
    },
}

impl Cause {
    /// Its `kind` on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Started => "Started",
            Self::ConsecutiveFailures { .. } => "ConsecutiveFailures",
            Self::OpenTimeElapsed => "OpenTimeElapsed",
            Self::TrialSucceeded => "TrialSucceeded",
            Self::TrialFailed { .. } => "TrialFailed",
            Self::Other { kind } => kind,
        }
    }
}

impl fmt::Display for Cause {
    /// A few words for people: `3 failed attempts in a row (timeout)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("process started"),
            Self::ConsecutiveFailures { count: 1, unit, last_error } => write!(f, "1 failed {unit} ({last_error})"),
            Self::ConsecutiveFailures { count, unit, last_error } => {
                write!(f, "{count} failed {unit}s in a row ({last_error})")
            }
            Self::OpenTimeElapsed => f.write_str("open time elapsed"),
            Self::TrialSucceeded => f.write_str("trial call succeeded"),
            Self::TrialFailed { last_error } => write!(f, "trial call failed ({last_error})"),
            Self::Other { kind } => f.write_str(kind),
        }
    }
}

/// What a breaker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Every attempt: the breaker stands inside the retries.
    Attempt,
    /// Whole calls: the breaker stands outside the retries.
    Call,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt => "attempt",
            Self::Call => "call",
        })
    }
}

/// How far a reader has read: the last sequence number it saw, and of which process. Written `EPOCH:SEQ`.
///
/// ```
/// use breakwater_breaker::wire::Cursor;
///
/// let cursor: Cursor = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42".parse().unwrap();
/// assert_eq!(cursor.seq, 42);
/// assert_eq!(cursor.to_string(), "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42");
/// assert!("42".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// [`Instance::epoch`] of the process.
    pub epoch: Uuid,
    /// The last sequence number that was seen; 0 before the first.
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// Not a [`Cursor`]; its text says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCursor {
    given: String,
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42";
        write!(f, "`{}` is no cursor: write EPOCH:SEQ, as `transitions.next` says it, like {example}", self.given)
    }
}

impl std::error::Error for InvalidCursor {}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (epoch, seq) = text.split_once(':')?;
            Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidCursor { given: text.chars().take(80).collect() })
    }
}

impl Serialize for Cursor {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
