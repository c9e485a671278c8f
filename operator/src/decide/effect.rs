//! What a decision wants done outside.

use breakwater_crds::{KillRecord, Outcome, Run, Verdict};
use jiff::Timestamp;

use super::{KILL_LIMIT, judge::Ending, record::Attempt};

/// Something to do outside, once the status that knows of it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Kill this pod, by the protocol of `apply`.
    Kill(Victim),
    /// Publish this as a Kubernetes Event.
    Publish(Notice),
}

/// A pod whose kill is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The set of kills that it belongs to.
    pub slot: u64,
    /// Its name.
    pub name: String,
    /// Its uid: no other pod of that name is meant.
    pub uid: String,
    /// It is not sent after this.
    pub deadline: Timestamp,
}

impl Victim {
    pub(super) fn new(run: &Run, kill: &KillRecord) -> Self {
        Self { slot: kill.slot, name: kill.pod.clone(), uid: kill.uid.clone(), deadline: deadline(run, kill) }
    }
}

/// A replacement may be killed until the hold ends; the first set may take [`KILL_LIMIT`] even without a hold.
pub(super) fn deadline(run: &Run, kill: &KillRecord) -> Timestamp {
    let hold_until = run.hold_until.unwrap_or(kill.planned_at);
    if kill.slot > 1 {
        return hold_until;
    }
    hold_until.max(kill.planned_at.checked_add(KILL_LIMIT).unwrap_or(Timestamp::MAX))
}

/// What people are told by an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// It is nothing good.
    pub warning: bool,
    /// What happened, in a word.
    pub reason: &'static str,
    /// What the operator did.
    pub action: &'static str,
    /// What happened, in a sentence.
    pub note: String,
}

impl Notice {
    /// What came of a kill.
    pub fn killed(victim: &Victim, attempt: &Attempt) -> Self {
        let (reason, warning, what) = match attempt.outcome {
            Outcome::Deleted => ("PodKilled", false, "killed"),
            Outcome::Gone => ("PodGone", false, "found gone, by another hand or by a delete whose answer was lost,"),
            Outcome::Failed | Outcome::Planned => ("KillFailed", true, "did not kill"),
        };
        let message = attempt.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        Self {
            warning,
            reason,
            action: "Kill",
            note: format!("{what} pod {} (uid {}){message}", victim.name, victim.uid),
        }
    }

    pub(super) fn completed(ending: &Ending) -> Self {
        let reason = match ending.verdict {
            Verdict::Passed => "Passed",
            Verdict::Failed => "Failed",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::Aborted => "Aborted",
        };
        Self {
            warning: ending.verdict != Verdict::Passed,
            reason,
            action: "Complete",
            note: format!("{:?}: {}", ending.reason, ending.message),
        }
    }
}
