//! How experiments end where nobody changes what they are about: as they would have without any fault, or without a proof.

use std::collections::BTreeMap;

use breakwater_crds::{Outcome, Run, Verdict};
use jiff::{SignedDuration, Timestamp};

use crate::{
    backend::{is_backend, ready_since},
    history::{Step, experiments, uid, when},
    lab::{Happening, Played},
};

/// How long a target may serve in an outage without the operator's saying so: a node's clock is not the operator's, and tells whole seconds.
const UNNOTICED: SignedDuration = SignedDuration::from_secs(3);
/// What replaces a killed pod is killed sooner, as long as somebody holds the outage.
const ALONE: SignedDuration = SignedDuration::from_secs(2);

/// What is wrong with the verdicts of a run.
pub fn verdicts(played: &Played, steps: &[Step]) -> Vec<String> {
    use Happening::{Compact, Edit, KillOperator, Undecodable};
    let is_harmless =
        |(_, happening): &(u64, Happening)| matches!(happening, Compact | Edit | KillOperator | Undecodable);
    // A clock that is behind what another one has written ends a run.
    let agree = played.skews.iter().all(|skew| *skew == played.skews[0]);
    if !played.happenings.iter().all(is_harmless) || !agree {
        return vec![];
    }
    let wanted = played.workload.verdict;
    let mut wrong = vec![];
    let gone = steps.iter().any(|step| matches!(step, Step::ExperimentGone(_)));
    for experiment in experiments(steps).into_values() {
        if experiment.spec.ttl_after_finished.is_some() && played.ended && !gone {
            wrong.push("an experiment was not deleted when its time was over".to_string());
        }
        let Some(status) = experiment.status else { continue };
        let left = status.run.as_ref().map(|run| left_alone(played, steps, run)).unwrap_or_default();
        let unheld = left.iter().filter_map(|pod| pod.served).max();
        if let Some(unheld) = unheld.filter(|time| status.verdict == Some(Verdict::Passed) && *time > UNNOTICED) {
            wrong.push(format!("it passed by an outage in which a target served for {unheld:?}"));
        }
        // From an outage whose last seconds nobody held a breaker may recover in time.
        let unheld = left.iter().any(|pod| pod.lived > ALONE) || !played.skews[0].is_zero();
        let excused = |said: &str| wanted == "Failed" && said == "Passed" && unheld;
        let said = status.history.iter().map(|run| format!("{:?}", run.verdict));
        let others = said.filter(|said| said != wanted && said != "Inconclusive" && !excused(said));
        wrong.extend(others.map(|said| format!("the verdict is {said}, not {wanted}")));
    }
    wrong
}

/// A pod that had replaced a killed one, could have been killed, and was not, or was late.
struct LeftAlone {
    /// How long it had lived when it was killed, or the hold was over.
    lived: SignedDuration,
    /// How long it had served by then, if it did.
    served: Option<SignedDuration>,
}

/// Of a run by a clock that is off nothing is known.
fn left_alone(played: &Played, steps: &[Step], run: &Run) -> Vec<LeftAlone> {
    let Some((first_kill, hold_until)) = run.first_kill_at.zip(run.hold_until) else { return vec![] };
    // The API server tells whole seconds.
    let in_hold = |at: &Timestamp| (first_kill - SignedDuration::from_secs(1)..hold_until).contains(at);
    let mut pods = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for step in steps {
        let (Step::Pod(change) | Step::PodEnds(change)) = step else { continue };
        if !is_backend(&change.object) {
            continue;
        }
        let metadata = &change.object["metadata"];
        let created = metadata["creationTimestamp"].as_str().and_then(|at| at.parse().ok()).filter(in_hold);
        let ready = ready_since(&change.object).filter(in_hold);
        pods.extend(created.map(|created| (uid(&change.object), (created, ready))));
        if matches!(step, Step::PodEnds(_)) || !metadata["deletionTimestamp"].is_null() {
            let at = when(&played.server, change.revision).unwrap_or(hold_until);
            ends.entry(uid(&change.object)).or_insert(at);
        }
    }
    let is_blocked = |uid: &String| run.kills.iter().any(|kill| kill.uid == *uid && kill.outcome == Outcome::Blocked);
    pods.retain(|uid, _| !run.spared.contains(uid) && !is_blocked(uid));
    let left_alone = |(uid, (created, ready)): (String, (Timestamp, Option<Timestamp>))| {
        let end = ends.get(&uid).map_or(hold_until, |end| hold_until.min(*end));
        LeftAlone { lived: end.duration_since(created), served: ready.map(|ready| end.duration_since(ready)) }
    };
    pods.into_iter().map(left_alone).collect()
}
