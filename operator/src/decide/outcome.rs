//! What came of kills goes into the record: each has one outcome, and what nobody knows of it is told as unknown.

use breakwater_crds::{ChaosExperimentSpec, KillRecord, MAX_KILLS, MAX_MESSAGE, NOT_IN_TIME, Outcome, Run};
use jiff::Timestamp;

use super::{
    effect::{deadline, is_pending},
    elapsed, plus,
    record::readable,
};
use crate::{error::API_LIMIT, world::World};

/// What came of one kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The set of kills that it was of: one pod may be chosen in several rounds.
    pub slot: u64,
    /// Uid of the pod.
    pub uid: String,
    /// When it was sent, if it was.
    pub sent_at: Option<Timestamp>,
    /// What came of it; `Planned`, if nothing is known yet and it is to be tried again.
    pub outcome: Outcome,
    /// What there is to say about it.
    pub message: Option<String>,
}

/// Takes the outcomes of kills into the record; each kill has one outcome for ever. An attempt that is still `Planned` leaves what went
/// wrong with it.
pub fn outcomes(run: &mut Run, attempts: &[Attempt]) {
    for attempt in attempts {
        if attempt.outcome == Outcome::Planned {
            let fits = |kill: &&mut KillRecord| {
                (kill.slot, &kill.uid, kill.outcome) == (attempt.slot, &attempt.uid, Outcome::Planned)
            };
            if let Some((kill, message)) = run.kills.iter_mut().find(fits).zip(attempt.message.as_deref()) {
                kill.message = Some(readable(message, MAX_MESSAGE));
            }
            continue;
        }
        // Of two operators, one may find gone, or too late for itself, what the other has just killed.
        let unsettled = |outcome| match outcome {
            Outcome::Planned => true,
            // That it was not sent in time, or nobody knows, is no news of one that was forbidden all the time.
            Outcome::Blocked => !matches!(attempt.outcome, Outcome::Failed | Outcome::Unknown),
            Outcome::Gone | Outcome::Failed | Outcome::Unknown => is_done(attempt.outcome),
            _ => false,
        };
        let fits =
            |kill: &&mut KillRecord| (kill.slot, &kill.uid) == (attempt.slot, &attempt.uid) && unsettled(kill.outcome);
        let Some(kill) = run.kills.iter_mut().find(fits) else { continue };
        kill.outcome = attempt.outcome;
        kill.sent_at = attempt.sent_at;
        kill.message = attempt.message.as_deref().map(|message| readable(message, MAX_MESSAGE));
        let at = attempt.sent_at.unwrap_or(kill.planned_at);
        let of_round = kill.round == run.round;
        if is_done(attempt.outcome) {
            run.killed = plus(run.killed, 1);
        }
        if of_round && (is_done(attempt.outcome) || attempt.outcome == Outcome::Gone) {
            run.first_kill_at.get_or_insert(at);
        }
    }
}

/// The API server took it.
fn is_done(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Deleted | Outcome::Evicted | Outcome::Restarted)
}

/// Kills that can no longer be sent in time get their outcome. `killing`: up to now kills were sent.
pub fn expire(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, killing: bool, now: Timestamp) {
    give_up(spec, run, world, now, NOT_IN_TIME, |run, kill| {
        now > deadline(run, kill) && (kill.outcome == Outcome::Planned || killing && is_blocked(run, kill))
    });
}

/// Kills of a run that has ended get their outcome. `killing`: up to now kills were sent.
pub fn abandon(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, killing: bool, now: Timestamp) {
    give_up(spec, run, world, now, "not sent: the run had ended", |run, kill| {
        is_pending(run, kill, now) || killing && is_blocked(run, kill)
    });
}

/// It was forbidden up to now; the last try may have been allowed since, and its answer lost.
fn is_blocked(run: &Run, kill: &KillRecord) -> bool {
    kill.outcome == Outcome::Blocked && kill.round == run.round
}

/// Of the kills that can still come to something, those beyond `most` are not done: no operator has written them. What does not live
/// any more counts first, or whoever writes down kills of nobody would have more of a share of the living killed.
pub fn refuse(run: &mut Run, most: usize, lives: impl Fn(&KillRecord) -> bool, now: Timestamp) {
    let pending = run.kills.iter().enumerate().filter(|(_, kill)| is_pending(run, kill, now));
    let (living, gone): (Vec<_>, Vec<_>) = pending.partition(|(_, kill)| lives(kill));
    let left = most.saturating_sub(gone.len());
    let surplus: Vec<_> = living.into_iter().map(|(at, _)| at).skip(left).collect();
    for at in surplus {
        run.kills[at].outcome = Outcome::Failed;
        run.kills[at].message = Some(format!("not sent: spec.target.pods allows {most} at a time"));
    }
}

/// What still lives was not killed, if no request can be on its way any more; what does not may have been, and the answer was lost.
fn give_up(
    spec: &ChaosExperimentSpec,
    run: &mut Run,
    world: &World,
    now: Timestamp,
    why: &str,
    which: impl Fn(&Run, &KillRecord) -> bool,
) {
    let restarts = spec.restarts_workload();
    let planned = run.kills.iter().filter(|kill| which(run, kill));
    let attempts: Vec<_> = planned
        .map(|kill| {
            let workload = world.workload.as_ref().map(|workload| &workload.target).filter(|_| restarts);
            let lives = world.targets.iter().chain(workload).any(|target| target.uid == kill.uid && target.alive);
            let restarted =
                world.workload.as_ref().and_then(|workload| workload.restarted_at).filter(|_| restarts && lives);
            let (outcome, message) = match &world.unseen {
                Some(_) => (Outcome::Unknown, "the targets could not be looked at"),
                None if restarted == Some(kill.planned_at) => (Outcome::Restarted, "found restarted"),
                None if restarted > Some(kill.planned_at) => (Outcome::Unknown, "somebody has restarted it since"),
                // Another operator may have sent it since, and died.
                None if lives && elapsed(deadline(run, kill), now) <= API_LIMIT => {
                    (Outcome::Unknown, "it lived a moment before, and could still be sent")
                }
                None if lives => (Outcome::Failed, why),
                None => (Outcome::Gone, "not among the targets any more when they were looked at again"),
            };
            let before = kill.message.iter().map(|before| format!("; before that: {before}"));
            let message = Some(std::iter::once(message.to_owned()).chain(before).collect());
            Attempt { slot: kill.slot, uid: kill.uid.clone(), sent_at: None, outcome, message }
        })
        .collect();
    outcomes(run, &attempts);
}

/// Keeps the newest kills, and those that can still come to something: they are never more than fit.
pub fn trim_kills(run: &mut Run, now: Timestamp) {
    while run.kills.len() > MAX_KILLS {
        let settled = run.kills.iter().position(|kill| !is_pending(run, kill, now));
        run.kills.remove(settled.unwrap_or(0));
        run.kills_dropped = plus(run.kills_dropped, 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_went_wrong_with_a_kill_that_is_tried_again_is_no_outcome() {
        let planned =
            json!({"slot": 1, "pod": "a", "uid": "a", "plannedAt": Timestamp::UNIX_EPOCH, "outcome": "Planned"});
        let kill: KillRecord = serde_json::from_value(planned).unwrap();
        let attempt = |message: Option<&str>| Attempt {
            slot: 1,
            uid: "a".into(),
            sent_at: None,
            outcome: Outcome::Planned,
            message: message.map(Into::into),
        };
        let mut run = Run { kills: vec![kill.clone()], ..Run::default() };
        outcomes(&mut run, &[attempt(Some("a webhook fails"))]);
        // An answer that does not come says nothing new.
        outcomes(&mut run, &[attempt(None)]);
        let told = KillRecord { message: Some("a webhook fails".into()), ..kill };
        assert_eq!((run.kills[0].clone(), run.first_kill_at), (told, None));
        // Once it has an outcome, that stays.
        run.kills[0].outcome = Outcome::Deleted;
        let settled = run.kills.clone();
        outcomes(&mut run, &[attempt(Some("late"))]);
        assert_eq!(run.kills, settled);
    }
}
