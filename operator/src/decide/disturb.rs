//! What others do to the targets while a run is under way: a verdict that they may have made is none.

use breakwater_crds::{
    ChaosExperimentSpec, Disturbance, DisturbanceKind, MAX_DISTURBANCES, MAX_KILLS, MAX_OWNERS, Reason, Run, Verdict,
};
use jiff::Timestamp;

use super::{effect::is_pending, judge::Ending};
use crate::world::World;

/// Writes down what others did since the round's baseline: a pod that the run leaves alone is gone, or another owner's pods came.
pub fn note(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, now: Timestamp) {
    // A rollout of our own does both.
    if run.round_at.is_none() || spec.restarts_workload() {
        return;
    }
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

/// A run that failed while others were at its targets proves nothing; one that passed says that they were.
pub fn temper(ending: Ending, run: &Run) -> Ending {
    let Some(first) = run.disturbances.first() else { return held(ending, run) };
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

/// An outage that was asked for and not held, as where one operator took over from another, blames no client.
fn held(ending: Ending, run: &Run) -> Ending {
    let Some(at) = run.served_in_hold_at.filter(|_| ending.verdict == Verdict::Failed) else { return ending };
    let message = format!(
        "the outage was not held: a target was ready at {at:.0}, as when the operator was away; it would have been {:?}: {}",
        ending.reason, ending.message
    );
    Ending::new(Verdict::Inconclusive, Reason::Disturbed, message)
}
