//! How experiments end where nobody changes what they are about: as they would have without any fault, or without a proof.

use crate::{
    history::{Step, experiments},
    lab::{Happening, Played, TAKE_OVER},
    net::Fate,
};

/// What is wrong with the verdicts of a run.
pub fn verdicts(played: &Played, steps: &[Step]) -> Vec<String> {
    use Happening::{Compact, Edit, KillOperator, Undecodable};
    let is_harmless =
        |(_, happening): &(u64, Happening)| matches!(happening, Compact | Edit | KillOperator | Undecodable);
    // A clock that is behind what another one has written ends a run.
    let agree = played.skews.iter().all(|skew| *skew == played.skews[0]);
    let wanted = played.workload.verdict;
    // From an outage that nobody held for long, as a look or a kill hung, a breaker may recover in time.
    let away = played.processes > played.skews.len() && played.take_over > TAKE_OVER;
    let hangs = |fate| {
        use Fate::{Busy, Late, Paused, Silence, SilenceAfter, Slow, Stale};
        matches!(fate, Silence | SilenceAfter | Busy(_) | Late(_) | Paused(_) | Slow(_) | Stale(_))
    };
    let unheld = wanted == "Failed" && (away || played.network.sent().into_iter().any(|(_, fate)| hangs(fate)));
    if !played.happenings.iter().all(is_harmless) || !agree || unheld {
        return vec![];
    }
    let mut wrong = vec![];
    let gone = steps.iter().any(|step| matches!(step, Step::ExperimentGone(_)));
    for experiment in experiments(steps).into_values() {
        if experiment.spec.ttl_after_finished.is_some() && played.ended && !gone {
            wrong.push("an experiment was not deleted when its time was over".to_string());
        }
        let history = experiment.status.iter().flat_map(|status| &status.history);
        let said = history.map(|run| format!("{:?}", run.verdict));
        let others = said.filter(|said| said != wanted && said != "Inconclusive");
        wrong.extend(others.map(|said| format!("the verdict is {said}, not {wanted}")));
    }
    wrong
}
