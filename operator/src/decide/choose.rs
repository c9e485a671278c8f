//! Whom to kill. The same set (slot) of the same run always chooses the same of the same pods, so nothing needs to be drawn.

use breakwater_crds::{KillRecord, MAX_KILLS, MAX_SPARED, Outcome, Pods, Run, Target as Spec};
use jiff::Timestamp;
use uuid::Uuid;

use super::{REFUSED_AGAIN, effect, elapsed, plus};
use crate::world::Target;

/// A set of kills, and the uids of those that it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub victims: Vec<Target>,
    pub spared: Vec<String>,
}

impl Choice {
    /// How many pods may be down at once from now on: as many as this first set has, or all there are.
    pub fn radius(&self, spec: &Spec) -> u32 {
        let all = matches!(spec.pods, Pods::All(_)) && spec.min_available == 0;
        let count = if all { MAX_KILLS } else { self.victims.len() };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// The first set of a round: of all, every pod that is not ending; else of those that are ready.
pub fn first(spec: &Spec, seed: Uuid, slot: u64, targets: &[Target]) -> Choice {
    let all = matches!(spec.pods, Pods::All(_));
    let candidates = targets.iter().filter(|pod| pod.may_be_killed() && (all || pod.ready)).collect();
    let victims =
        take(count(&spec.pods, seed, slot, ready(targets)), spec.min_available, seed, slot, candidates, targets);
    let spared = targets
        .iter()
        .filter(|pod| pod.alive && !victims.iter().any(|victim| victim.uid == pod.uid))
        .map(|pod| pod.uid.clone())
        .collect();
    Choice { victims, spared }
}

/// What has replaced killed pods: those that are not spared, as many as may be down. If there are more, the target was
/// scaled up while its outage is held: the rest is spared from now on, so that no more are down at once than were asked for.
pub fn replacements(spec: &Spec, run: &Run, now: Timestamp, targets: &[Target]) -> Choice {
    let pending: Vec<_> =
        run.kills.iter().filter(|kill| effect::is_pending(run, kill, now)).map(|kill| &kill.uid).collect();
    let new = |pod: &&Target| {
        pod.may_be_killed()
            && !run.spared.contains(&pod.uid)
            && !pending.contains(&&pod.uid)
            && !is_refused(run, &pod.uid, now)
    };
    let candidates: Vec<_> = targets.iter().filter(new).collect();
    let left = (run.blast_radius as usize).min(most(spec, run, now, targets)).saturating_sub(pending.len());
    let victims = take(left, spec.min_available, run.seed, plus(run.slot, 1), candidates.clone(), targets);
    // What minAvailable alone keeps may still be killed once more pods are ready, and so may what has replaced a pod whose kill was
    // blocked up to now and is about to be told.
    let surplus = if left == 0 || victims.len() < left { vec![] } else { candidates };
    let rest = surplus.into_iter().filter(|pod| !victims.contains(pod)).map(|pod| pod.uid.clone()).collect::<Vec<_>>();
    if run.spared.len() + rest.len() > MAX_SPARED {
        return Choice::default();
    }
    Choice { victims, spared: rest }
}

/// Its kill was refused, and it is not yet time for another: who refuses one, as a policy does, refuses most likely the next.
fn is_refused(run: &Run, uid: &str, now: Timestamp) -> bool {
    let refused = |kill: &&KillRecord| (kill.round, kill.outcome) == (run.round, Outcome::Failed) && kill.uid == uid;
    let Some(last) = run.kills.iter().rev().find(refused) else { return false };
    let times = u32::try_from(run.kills.iter().filter(refused).count()).unwrap_or(u32::MAX);
    let wait = REFUSED_AGAIN.saturating_mul(1 << times.saturating_sub(1).min(5));
    elapsed(last.planned_at, now) < wait
}

/// How many may be down at once by the spec alone, whatever the status says: it is only the operator's own as long as nobody
/// else may write it. A percentage is of those that live and those that are about to be killed.
pub fn most(spec: &Spec, run: &Run, now: Timestamp, targets: &[Target]) -> usize {
    let lives = |uid: &str| targets.iter().any(|pod| pod.alive && pod.uid == uid);
    let going = run.kills.iter().filter(|kill| effect::is_pending(run, kill, now) && !lives(&kill.uid)).count();
    let there = targets.iter().filter(|pod| pod.alive).count() + going;
    at_most(&spec.pods, there).min(MAX_KILLS)
}

/// The most that the rule allows, of so many. A percentage is rounded down: never more than it says.
pub fn at_most(pods: &Pods, of: usize) -> usize {
    match pods {
        Pods::All(_) => MAX_KILLS,
        Pods::One(_) => 1,
        Pods::Fixed(count) => *count as usize,
        Pods::Percent(share) | Pods::RandomUpToPercent(share) => of * (*share).min(100) as usize / 100,
    }
}

/// How many pods a first set names, of so many that are ready.
pub fn count(pods: &Pods, seed: Uuid, slot: u64, ready: usize) -> usize {
    let asked = match (pods, at_most(pods, ready)) {
        (Pods::RandomUpToPercent(_), most @ 1..) => 1 + draw(seed, slot) % most,
        (_, asked) => asked,
    };
    asked.min(MAX_KILLS)
}

/// A number that nobody chose, always the same for this set.
fn draw(seed: Uuid, slot: u64) -> usize {
    let hash = Uuid::new_v5(&seed, format!("count/{slot}").as_bytes()).as_u128();
    usize::try_from(hash % (1 << 31)).unwrap_or(0)
}

/// Pods that serve, ours to kill or not.
pub fn ready(targets: &[Target]) -> usize {
    targets.iter().filter(|pod| pod.alive && pod.ready).count()
}

/// The first of the candidates by rank, without those ready ones that would leave too few.
fn take(
    count: usize,
    min_available: u32,
    seed: Uuid,
    slot: u64,
    mut candidates: Vec<&Target>,
    targets: &[Target],
) -> Vec<Target> {
    candidates
        .sort_by_cached_key(|pod| (Uuid::new_v5(&seed, format!("{slot}/{}", pod.uid).as_bytes()), pod.uid.clone()));
    let mut budget = ready(targets).saturating_sub(min_available as usize);
    let mut victims = Vec::new();
    for pod in candidates {
        if victims.len() == count {
            break;
        }
        if pod.ready && budget == 0 {
            continue;
        }
        budget -= usize::from(pod.ready);
        victims.push(pod.clone());
    }
    victims
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::target;

    #[test]
    fn a_share_is_of_those_that_live_and_those_that_are_about_to_go() {
        for (pods, most) in [
            (json!({"all": {}}), MAX_KILLS),
            (json!({"one": {}}), 1),
            (json!({"fixed": 3}), 3),
            (json!({"fixed": 500}), MAX_KILLS),
            (json!({"percent": 50}), 2),
            (json!({"randomUpToPercent": 75}), 3),
        ] {
            let spec: Spec = serde_json::from_value(json!({"selector": {}, "pods": pods})).unwrap();
            let kill = |uid: &str, outcome: &str| json!({"round": 1, "slot": 1, "pod": uid, "uid": uid, "plannedAt": Timestamp::UNIX_EPOCH, "outcome": outcome});
            // Of five that there were, one is gone for good, and one is planned and no longer listed.
            let kills = [kill("1", "Deleted"), kill("2", "Planned"), kill("3", "Planned")];
            let run =
                json!({"id": Uuid::nil(), "seed": Uuid::nil(), "startedAt": Timestamp::UNIX_EPOCH, "kills": kills});
            let run: Run = serde_json::from_value(run).unwrap();
            let ending = Target { alive: false, ..target("1") };
            let targets = [ending, target("3"), target("4"), target("5")];
            assert_eq!(super::most(&spec, &run, Timestamp::UNIX_EPOCH, &targets), most, "{pods}");
        }
    }

    #[test]
    fn only_what_serves_and_stays_counts_for_min_available() {
        let ready = target("ready");
        let unready = Target { ready: false, ..target("unready") };
        // It may serve for as long as its grace period lasts.
        let ending = Target { alive: false, ..target("ending") };
        let gone = Target { ready: false, ..ending.clone() };
        let exempt = Target { exempt: true, ..target("exempt") };
        for (beside, chosen) in
            [(&ready, &["a", "ready"][..]), (&exempt, &["a"]), (&unready, &["unready"]), (&ending, &[]), (&gone, &[])]
        {
            let least = if chosen.len() == 2 { 0 } else { 1 };
            let spec = json!({"selector": {}, "pods": {"all": {}}, "minAvailable": least});
            let spec: Spec = serde_json::from_value(spec).unwrap();
            let choice = first(&spec, Uuid::nil(), 1, &[target("a"), beside.clone()]);
            let mut names: Vec<_> = choice.victims.iter().map(|victim| victim.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, chosen, "{} beside a, {least} to be ready", beside.name);
        }
    }

    #[test]
    fn by_whom_the_target_was_scaled_up_is_spared_if_that_can_be_written_down() {
        let before = |count: usize| (0..count).map(|number| format!("spared-{number}")).collect::<Vec<_>>();
        for (radius, min_available, spared, chosen, left) in [
            (1, 0, 0, 1, 1),
            (2, 0, 0, 2, 0),
            // What minAvailable alone keeps is not.
            (2, 1, 0, 1, 0),
            (1, 0, MAX_SPARED - 1, 1, 1),
            (1, 0, MAX_SPARED, 0, 0),
            (2, 0, MAX_SPARED, 2, 0),
        ] {
            let spec = json!({"selector": {}, "pods": {"all": {}}, "minAvailable": min_available});
            let spec: Spec = serde_json::from_value(spec).unwrap();
            let run = Run { blast_radius: radius, spared: before(spared), ..Run::default() };
            let choice = replacements(&spec, &run, Timestamp::UNIX_EPOCH, &[target("a"), target("b")]);
            let case = format!("{radius} of 2 may be down, {min_available} are to be ready, {spared} are spared");
            assert_eq!((choice.victims.len(), choice.spared.len()), (chosen, left), "{case}");
            assert!(choice.victims.iter().all(|victim| !choice.spared.contains(&victim.uid)), "{case}");
        }
    }

    /// Its kill was forbidden up to now, and an answer that allowed it was lost: what has come for it is killed next, not spared.
    #[test]
    fn what_has_replaced_a_blocked_pod_is_not_spared() {
        let spec: Spec = serde_json::from_value(json!({"selector": {}, "pods": {"one": {}}})).unwrap();
        let mut run: Run = serde_json::from_value(json!({"id": Uuid::nil(), "seed": Uuid::nil(), "startedAt": Timestamp::UNIX_EPOCH,
            "round": 1, "slot": 1, "firstSlot": 1, "blastRadius": 1,
            "kills": [{"round": 1, "slot": 1, "pod": "old", "uid": "old", "plannedAt": Timestamp::UNIX_EPOCH, "outcome": "Blocked"}]})).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(replacements(&spec, &run, now, &[target("new")]), Choice::default(), "nobody knows of it yet");
        run.kills[0].outcome = Outcome::Gone;
        assert_eq!(replacements(&spec, &run, now, &[target("new")]).victims, [target("new")]);
    }

    #[test]
    fn later_sets_are_as_large_as_the_first_one_unless_all_are_to_be_down() {
        for (pods, min_available, radius) in [
            (json!({"all": {}}), 0, 128),
            (json!({"all": {}}), 1, 2),
            (json!({"fixed": 2}), 0, 2),
            (json!({"percent": 40}), 1, 2),
        ] {
            let spec = json!({"selector": {}, "pods": pods, "minAvailable": min_available});
            let spec: Spec = serde_json::from_value(spec).unwrap();
            let choice = Choice { victims: vec![target("1"); 2], spared: vec![] };
            assert_eq!(choice.radius(&spec), radius, "{pods}, at least {min_available}");
        }
    }
}
