//! What others do to the targets while a run is under way: a verdict that they may have made is none.

use std::time::Duration;

use breakwater_crds::{
    ChaosExperimentSpec, Disturbance, DisturbanceKind, MAX_DISTURBANCES, MAX_KILLS, MAX_OWNERS, Outcome, Reason, Run,
    Verdict,
};
use jiff::Timestamp;

use super::{choose, effect::is_pending, elapsed, judge::Ending};
use crate::world::{Target, World};

/// What replaces a killed pod may serve so long until it is killed: by so much a node's clock may differ from the operator's, with the
/// second to which a node says since when a pod is ready.
const NODE_TOLERANCE: Duration = Duration::from_secs(2);

/// Writes down what others did since the round's baseline: a pod that the run leaves alone is gone, or another owner's pods came. And
/// that the outage was not held, as only as long as the pod is there that served it can be told since when.
pub fn note(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, now: Timestamp) {
    // A rollout of our own does both.
    if run.round_at.is_none() || spec.restarts_workload() {
        return;
    }
    run.unheld_at = run.unheld_at.or_else(|| unheld(spec, run, world, now));
    let alive = |uid: &String| world.targets.iter().any(|pod| pod.alive && pod.uid == *uid);
    let gone: Vec<_> = run.spared.iter().chain(&run.survivors).filter(|uid| !alive(uid)).cloned().collect();
    for uid in gone {
        tell(run, DisturbanceKind::PodGone, uid, now);
    }
    for owner in world.targets.iter().filter(|pod| pod.alive).filter_map(|pod| pod.owner.as_ref()) {
        if !run.owners.contains(owner) && run.owners.len() < MAX_OWNERS {
            tell(run, DisturbanceKind::RolledOut, owner.clone(), now);
        }
    }
    let over = run.hold_until.is_none_or(|end| end <= now && run.first_kill_at.is_some());
    if over {
        let pending = |uid: &String| run.kills.iter().any(|kill| kill.uid == *uid && is_pending(run, kill, now));
        let known = |uid: &&String| run.spared.contains(uid) || run.survivors.contains(uid) || pending(uid);
        let left = world.targets.iter().filter(|pod| pod.alive).map(|pod| &pod.uid);
        let new: Vec<_> =
            left.filter(|uid| !known(uid)).take(MAX_KILLS.saturating_sub(run.survivors.len())).cloned().collect();
        run.survivors.extend(new);
    }
}

fn tell(run: &mut Run, kind: DisturbanceKind, uid: String, now: Timestamp) {
    let known = run.disturbances.iter().any(|one| one.kind == kind && one.uid == uid);
    if !known && run.disturbances.len() < MAX_DISTURBANCES {
        run.disturbances.push(Disturbance { kind, uid, observed_at: now });
    }
}

/// A run that failed while others were at its targets proves nothing; one that passed says that they were. Nothing is proven by an
/// outage that was not held to its end.
pub fn temper(ending: Ending, run: &Run) -> Ending {
    let ending = held(ending, run);
    let Some(first) = run.disturbances.first() else { return ending };
    let what = match first.kind {
        DisturbanceKind::PodGone => "a target pod that this run left alone ended or left the target",
        DisturbanceKind::RolledOut => "pods of another owner came, as in a rollout",
    };
    let others = format!(
        "others were at the targets too: {what} ({} such things in status.run.disturbances)",
        run.disturbances.len()
    );
    match ending.verdict {
        Verdict::Failed => {
            let message = format!("{others}; it would have been {:?}: {}", ending.reason, ending.message);
            Ending::new(Verdict::Inconclusive, Reason::Disturbed, message)
        }
        Verdict::Passed => Ending { message: format!("{}; {others}", ending.message), ..ending },
        _ => ending,
    }
}

/// An outage that was asked for and not held, as where one operator took over from another, blames no client; and where a target served
/// for longer than it takes to kill it, no client has shown that it bears a whole one.
fn held(ending: Ending, run: &Run) -> Ending {
    let at = match ending.verdict {
        Verdict::Failed => run.served_in_hold_at.or(run.unheld_at),
        Verdict::Passed => run.unheld_at,
        _ => None,
    };
    let Some(at) = at else { return ending };
    let message = format!(
        "the outage was not held: a target was ready at {at:.0}, as when the operator was away; it would have been {:?}: {}",
        ending.reason, ending.message
    );
    Ending::new(Verdict::Inconclusive, Reason::Disturbed, message)
}

/// Since when the outage is not held, if it is not: what has replaced a killed pod is ready for a while, and nobody has killed it. One that
/// a budget or `minAvailable` protects was not to be killed.
fn unheld(spec: &ChaosExperimentSpec, run: &Run, world: &World, now: Timestamp) -> Option<Timestamp> {
    let (first_kill, hold_until) = run.first_kill_at.zip(run.hold_until)?;
    if choose::ready(&world.targets) <= spec.target.min_available as usize {
        return None;
    }
    let is_blocked = |uid: &str| run.kills.iter().any(|kill| kill.uid == uid && kill.outcome == Outcome::Blocked);
    let replaces =
        |pod: &&Target| pod.ready && pod.may_be_killed() && !run.spared.contains(&pod.uid) && !is_blocked(&pod.uid);
    let since = world.targets.iter().filter(replaces).filter_map(|pod| pod.ready_since);
    since.filter(|since| *since > first_kill && elapsed(*since, now.min(hold_until)) > NODE_TOLERANCE).min()
}

#[cfg(test)]
mod tests {
    use breakwater_crds::Target as Spec;
    use serde_json::json;

    use super::*;
    use crate::world::target;

    #[test]
    fn an_outage_is_not_held_while_what_came_for_a_killed_pod_serves_and_may_be_killed() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let kill = |uid: &str, outcome: &str| json!({"slot": 1, "pod": uid, "uid": uid, "plannedAt": at(100), "outcome": outcome});
        let kills = json!([kill("blocked", "Blocked"), kill("failed", "Failed")]);
        let run = Run {
            kills: serde_json::from_value(kills).unwrap(),
            spared: vec!["spared".into()],
            first_kill_at: Some(at(100)),
            hold_until: Some(at(130)),
            ..Run::default()
        };
        let spec: ChaosExperimentSpec = serde_json::from_value(json!({
            "target": {"selector": {}, "pods": {"all": {}}}, "observe": {"clients": []}, "timeout": "5m"}))
        .unwrap();
        let pod = |uid: &str, since: Option<i64>| Target { ready_since: since.map(at), ..target(uid) };
        let new = || pod("new", Some(110));
        for (case, target, since) in [
            ("replaced", new(), Some(110)),
            ("its kill was not sent", pod("failed", Some(110)), Some(110)),
            ("replaced right before the end", pod("new", Some(128)), None),
            ("replaced after the end", pod("new", Some(131)), None),
            ("ready from before", pod("old", Some(99)), None),
            ("nobody says since when", pod("new", None), None),
            ("not ready", Target { ready: false, ..new() }, None),
            ("on its way out", Target { alive: false, ..new() }, None),
            ("never killed", Target { exempt: true, ..new() }, None),
            ("left alone", pod("spared", Some(110)), None),
            ("protected", pod("blocked", Some(110)), None),
        ] {
            let world = World { targets: vec![pod("later", Some(127)), target], ..World::default() };
            // The later one alone would say 127; what is asked is the first.
            let found = unheld(&spec, &run, &world, at(140));
            assert_eq!(found, Some(at(since.unwrap_or(127))), "{case}");
            let world = World { targets: world.targets[1..].to_vec(), ..World::default() };
            let at_moment = |now: i64| unheld(&spec, &run, &world, at(now));
            assert_eq!(at_moment(140), since.map(at), "{case}, alone");
            assert_eq!(at_moment(112), None, "{case}, as long as it may still be killed in time");
            assert_eq!(at_moment(113), since.map(at), "{case}, in the hold");
            let one_ready =
                ChaosExperimentSpec { target: Spec { min_available: 1, ..spec.target.clone() }, ..spec.clone() };
            assert_eq!(unheld(&one_ready, &run, &world, at(140)), None, "{case}, and one is to be ready");
            let unheld_run = Run { hold_until: None, ..run.clone() };
            assert_eq!(unheld(&spec, &unheld_run, &world, at(140)), None, "{case}, nothing is held");
        }
    }
}
