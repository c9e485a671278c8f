//! What a decision wants done outside: kills, and Events.

use std::cmp::Ordering;

use breakwater_crds::{KillRecord, Outcome, Run, Verdict};
use jiff::Timestamp;

use super::{KILL_LIMIT, judge::Ending, outcome::Attempt};

/// A breaker's closing is told by an Event as long as a look has no more of them than this.
const MAX_TOLD: usize = 16;

/// A kill that is written down: of a pod, or of a workload that is to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The set of kills that it belongs to.
    pub slot: u64,
    /// It is of the first set of its round.
    pub first: bool,
    /// Its name.
    pub name: String,
    /// Its uid: no other one of that name is meant.
    pub uid: String,
    /// When it was written down.
    pub planned_at: Timestamp,
    /// It is not sent after this.
    pub deadline: Timestamp,
}

impl Victim {
    pub(super) fn new(run: &Run, kill: &KillRecord) -> Self {
        Self {
            slot: kill.slot,
            first: kill.slot <= run.first_slot,
            name: kill.pod.clone(),
            uid: kill.uid.clone(),
            planned_at: kill.planned_at,
            deadline: deadline(run, kill),
        }
    }
}

/// The kills that are written down and can still come to something.
pub(super) fn victims(run: &Run, now: Timestamp) -> Vec<Victim> {
    let pending = run.kills.iter().filter(|kill| is_pending(run, kill, now));
    pending.map(|kill| Victim::new(run, kill)).collect()
}

/// It has no outcome yet, or is blocked and may still be tried.
pub(super) fn is_pending(run: &Run, kill: &KillRecord, now: Timestamp) -> bool {
    match kill.outcome {
        Outcome::Planned => true,
        Outcome::Blocked => kill.round == run.round && now <= deadline(run, kill),
        _ => false,
    }
}

/// A replacement may be killed until the hold ends; a round's first set may take [`KILL_LIMIT`] even without a hold.
pub(super) fn deadline(run: &Run, kill: &KillRecord) -> Timestamp {
    let hold_until = run.hold_until.unwrap_or(kill.planned_at);
    if kill.slot > run.first_slot {
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
            Outcome::Deleted => ("PodKilled", false, "killed pod"),
            Outcome::Evicted => ("PodEvicted", false, "evicted pod"),
            Outcome::Restarted => ("WorkloadRestarted", false, "restarted workload"),
            Outcome::Gone => ("PodGone", false, "found gone, by another hand or by a kill whose answer was lost, pod"),
            Outcome::Blocked => ("KillBlocked", true, "may not kill pod"),
            Outcome::DryRun => ("WouldKill", false, "would kill"),
            Outcome::Unknown => ("KillUnknown", true, "does not know what became of the kill of"),
            Outcome::Failed | Outcome::Planned => ("KillFailed", true, "did not kill"),
        };
        let message = attempt.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        Self { warning, reason, action: "Kill", note: format!("{what} {} (uid {}){message}", victim.name, victim.uid) }
    }

    /// Adds a notice where there are few; the first that is too many says so, and the others are dropped. A client that makes up
    /// transitions would have Events published by the thousand.
    pub(super) fn tell(notices: &mut Vec<Self>, notice: Self) {
        match notices.len().cmp(&MAX_TOLD) {
            Ordering::Less => notices.push(notice),
            Ordering::Equal => {
                let note = "breakers did more than is told here; the status has the newest of it".into();
                notices.push(Self { note, ..notice });
            }
            Ordering::Greater => {}
        }
    }

    pub(super) fn missed(count: u64) -> Self {
        Self {
            warning: true,
            reason: "StartsMissed",
            action: "Schedule",
            note: format!("{count} starts of the schedule were skipped; they are counted in status.missedRuns"),
        }
    }

    pub(super) fn completed(ending: &Ending) -> Self {
        let reason = match ending.verdict {
            Verdict::Passed => "Passed",
            Verdict::Failed => "Failed",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::Aborted => "Aborted",
            Verdict::DryRun => "DryRun",
        };
        Self {
            warning: !matches!(ending.verdict, Verdict::Passed | Verdict::DryRun),
            reason,
            action: "Complete",
            note: format!("{:?}: {}", ending.reason, ending.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use breakwater_crds::Reason;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kill_is_sent_while_its_hold_lasts_and_one_of_a_first_set_for_a_while_even_without() {
        let planned = Timestamp::UNIX_EPOCH;
        let after = |seconds: i64| planned + SignedDuration::from_secs(seconds);
        let limit = KILL_LIMIT.as_secs().cast_signed();
        for (slot, hold, seconds) in [
            (3, None, limit),
            (3, Some(limit - 7), limit),
            (3, Some(limit + 5), limit + 5),
            (4, None, 0),
            (4, Some(limit - 7), limit - 7),
            (4, Some(limit + 5), limit + 5),
        ] {
            let kill = json!({"slot": slot, "pod": "a", "uid": "a", "plannedAt": planned, "outcome": "Planned"});
            let kill: KillRecord = serde_json::from_value(kill).unwrap();
            let run = Run { first_slot: 3, hold_until: hold.map(after), ..Run::default() };
            let victim = Victim::new(&run, &kill);
            assert_eq!((victim.deadline, victim.first), (after(seconds), slot == 3), "set {slot}, held for {hold:?} s");
        }
    }

    #[test]
    fn people_are_warned_of_a_run_that_did_not_pass() {
        for (verdict, warning, reason) in [
            (Verdict::Passed, false, "Passed"),
            (Verdict::DryRun, false, "DryRun"),
            (Verdict::Failed, true, "Failed"),
            (Verdict::Inconclusive, true, "Inconclusive"),
            (Verdict::Aborted, true, "Aborted"),
        ] {
            let notice = Notice::completed(&Ending::new(verdict, Reason::AsExpected, "as it is"));
            assert_eq!(
                (notice.warning, notice.reason, notice.note.as_str()),
                (warning, reason, "AsExpected: as it is")
            );
        }
    }
}
