//! How experiments end where nobody changes what they are about: as they would have without any fault, or without a proof.

use crate::{
    history::{Step, experiments},
    lab::{Happening, Played, TAKE_OVER},
};

/// What is wrong with the verdicts of a run.
pub fn verdicts(played: &Played, steps: &[Step]) -> Vec<String> {
    use Happening::{Compact, Edit, KillOperator, Undecodable};
    let is_harmless =
        |(_, happening): &(u64, Happening)| matches!(happening, Compact | Edit | KillOperator | Undecodable);
    // A clock that is behind what another one has written ends a run.
    let agree = played.skews.iter().all(|skew| *skew == played.skews[0]);
    let wanted = played.workload.verdict;
    // From an outage that nobody held for long, or that was held by what was seen late, a breaker may recover in time.
    let away = played.processes > played.skews.len() && played.take_over > TAKE_OVER;
    let unheld = (away || played.network.lagged()) && wanted == "Failed";
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
