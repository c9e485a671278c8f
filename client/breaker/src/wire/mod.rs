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

mod cause;
mod cursor;
mod state;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use cause::{Cause, Unit};
pub use cursor::{Cursor, InvalidCursor};
pub use state::State;

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
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::Now;
/// use jiff::Timestamp;
///
/// let now = Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(2));
/// assert_eq!((now.mono_nanos, now.mono()), (2_000_000_000, Duration::from_secs(2)));
/// ```
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
///
/// ```
/// use breakwater_breaker::{Breaker, Clock, Settings, State, SystemClock};
///
/// let report = Breaker::new("backend", Settings::default()).report(None, SystemClock::start().now()).unwrap();
/// assert_eq!((report.name.as_str(), report.state), ("backend", State::Closed));
/// assert_eq!(serde_json::to_value(&report).unwrap()["transitions"]["items"][0]["cause"]["kind"], "Started");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerReport {
    /// Its name, unique within the process.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Failures in a row since the last success, those of trial calls included.
    pub consecutive_failures: u64,
    /// When an open breaker is due to let trial calls through; `null` in the other states.
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
    /// What a policy of rates looks at; `null` where failures in a row are counted.
    #[serde(default)]
    pub window: Option<WindowCounts>,
    /// Transitions after the cursor that was asked for.
    pub transitions: Transitions,
}

/// Calls of a breaker since the start of the process. None of them ever goes down.
///
/// `permitted` is `success + failure + ignored` plus the calls in flight.
///
/// ```
/// use breakwater_breaker::{Breaker, Settings};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// let in_flight = breaker.try_acquire().unwrap();
/// breaker.try_acquire().unwrap().success();
/// assert_eq!((breaker.calls().permitted, breaker.calls().success), (2, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallCounts {
    /// Let through. It stands still where there is no traffic.
    pub permitted: u64,
    /// Refused: the breaker was open, or half-open with its trials in flight.
    pub not_permitted: u64,
    /// Succeeded.
    pub success: u64,
    /// Failed.
    pub failure: u64,
    /// Counted as neither: cancelled, cut by a deadline, said to be ignored, or let through before the breaker last
    /// changed its state.
    pub ignored: u64,
    /// Of the successes and failures, those that were slow; 0 where slow calls are not looked for.
    pub slow: u64,
}

/// The newest calls of a closed breaker, as far as its window reaches.
///
/// ```
/// use breakwater_breaker::{Breaker, Clock, Policy, Rates, Settings, SystemClock};
///
/// let breaker = Breaker::new("backend", Settings::default().with_policy(Policy::Rates(Rates::default())));
/// breaker.try_acquire().unwrap().failure("reset");
/// let window = breaker.report(None, SystemClock::start().now()).unwrap().window.unwrap();
/// assert_eq!((window.calls, window.failures), (1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowCounts {
    /// Calls in it.
    pub calls: u64,
    /// Of these, failed.
    pub failures: u64,
    /// Of these, slow.
    pub slow: u64,
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
///
/// ```
/// use breakwater_breaker::wire::Gap;
///
/// assert_eq!(Gap { from: 2, to: 4 }.missing(), 3);
/// ```
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
///
/// ```
/// use breakwater_breaker::{Breaker, Cause, Settings, State};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// let transition = breaker.force(State::Open, "test").unwrap();
/// assert_eq!((transition.seq, transition.from, transition.to), (2, Some(State::Closed), State::Open));
/// ```
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
