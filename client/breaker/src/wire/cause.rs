//! Why a breaker changed its state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a breaker changed its state.
///
/// ```
/// use breakwater_breaker::{Cause, Unit};
///
/// let cause = Cause::ConsecutiveFailures { count: 3, unit: Unit::Attempt, last_error: "timeout".into() };
/// assert_eq!(cause.to_string(), "3 failed attempts in a row (timeout)");
/// assert_eq!(serde_json::to_value(&cause).unwrap()["kind"], cause.kind());
/// ```
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
    /// Too many of the calls in the window failed.
    FailureRate {
        /// Calls in the window.
        calls: u64,
        /// How many of them failed.
        failures: u64,
        /// What was counted.
        unit: Unit,
        /// What the call that tipped the scales said, in a word or two; `null` if it succeeded, and was only the one
        /// that made them enough to judge by.
        last_error: Option<String>,
    },
    /// Too many of the calls in the window were slow.
    SlowCallRate {
        /// Calls in the window.
        calls: u64,
        /// How many of them were slow.
        slow: u64,
        /// What was counted.
        unit: Unit,
    },
    /// The breaker was open as long as it should be.
    OpenTimeElapsed,
    /// Enough trial calls of a half-open breaker succeeded.
    TrialSucceeded,
    /// A trial call of a half-open breaker failed, and with it too many of them.
    TrialFailed {
        /// What it said, in a word or two.
        last_error: String,
    },
    /// Too many trial calls of a half-open breaker were slow.
    TrialSlow,
    /// A trial call of a half-open breaker did not end in time.
    TrialOverdue,
    /// A person or another program put the breaker into this state.
    Forced {
        /// Why, as they said it.
        reason: String,
    },
    /// A cause that this version does not know; newer clients may send it.
    #[serde(untagged)]
    Other {
        /// The kind as it was sent.
        kind: String,
    },
}

impl Cause {
    /// The result of a call made it, and neither time alone nor a person.
    pub fn is_of_result(&self) -> bool {
        !matches!(self, Self::Started | Self::OpenTimeElapsed | Self::TrialOverdue | Self::Forced { .. })
    }

    /// Its `kind` on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Started => "Started",
            Self::ConsecutiveFailures { .. } => "ConsecutiveFailures",
            Self::FailureRate { .. } => "FailureRate",
            Self::SlowCallRate { .. } => "SlowCallRate",
            Self::OpenTimeElapsed => "OpenTimeElapsed",
            Self::TrialSucceeded => "TrialSucceeded",
            Self::TrialFailed { .. } => "TrialFailed",
            Self::TrialSlow => "TrialSlow",
            Self::TrialOverdue => "TrialOverdue",
            Self::Forced { .. } => "Forced",
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
            Self::FailureRate { calls, failures, unit, last_error } => {
                write!(f, "{failures} of {calls} {unit}s failed")?;
                last_error.as_ref().map_or(Ok(()), |error| write!(f, " ({error})"))
            }
            Self::SlowCallRate { calls, slow, unit } => write!(f, "{slow} of {calls} {unit}s were slow"),
            Self::OpenTimeElapsed => f.write_str("open time elapsed"),
            Self::TrialSucceeded => f.write_str("trial call succeeded"),
            Self::TrialFailed { last_error } => write!(f, "trial call failed ({last_error})"),
            Self::TrialSlow => f.write_str("trial call was slow"),
            Self::TrialOverdue => f.write_str("trial call did not end in time"),
            Self::Forced { reason } => write!(f, "forced ({reason})"),
            Self::Other { kind } => f.write_str(kind),
        }
    }
}

/// What a breaker counts.
///
/// ```
/// assert_eq!(serde_json::to_string(&breakwater_breaker::Unit::Attempt).unwrap(), "\"attempt\"");
/// ```
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
