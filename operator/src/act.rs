//! Does what was decided, and writes down what came of it.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is waited for the API server")]

use std::{borrow::Cow, time::Duration};

use breakwater_crds::{ChaosExperiment, Outcome};
use futures::{StreamExt, future::join_all, stream};
use kube::{Api, ResourceExt, api::PostParams};
use uuid::Uuid;

use crate::{
    apply::Hands,
    decide::{self, Attempt, Decision, Notice, Victim},
    error::{Error, in_time},
    metrics::Metrics,
};

/// A kill whose outcome is not known yet is looked into again after this time.
pub const AFTER_UNKNOWN: Duration = Duration::from_millis(500);
/// How often the outcome of a kill is written anew when somebody else has written in between, or the API server does not answer.
const WRITES: usize = 5;
/// The Events of one look may take so long.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);
/// Kills of one set that are sent side by side.
const KILLS_AT_ONCE: usize = 16;

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// All is done and written down.
    Done,
    /// What became of a kill is not known yet.
    Unsure,
}

/// Kills, publishes and writes the outcomes of kills down. `experiment` is as it has just been written.
///
/// # Errors
/// Where an outcome could not be written.
pub async fn act(
    hands: &Hands,
    metrics: &Metrics,
    experiments: &Api<ChaosExperiment>,
    experiment: &ChaosExperiment,
    decision: Decision,
) -> Result<Acted, Error> {
    let mut notices = decision.notices;
    let kill = async |victim: Victim| (hands.kill(experiment, &victim).await, victim);
    // How many are left is counted before each kill, so with minAvailable they go one after the other.
    let at_once = if experiment.spec.target.min_available > 0 { 1 } else { KILLS_AT_ONCE };
    let kills: Vec<_> = stream::iter(decision.kills).map(kill).buffered(at_once).collect().await;
    let (unsure, settled): (Vec<_>, Vec<_>) =
        kills.into_iter().partition(|(attempt, _)| attempt.outcome == Outcome::Planned);
    let acted = if unsure.is_empty() { Acted::Done } else { Acted::Unsure };
    let mut attempts = Vec::new();
    for (attempt, victim) in settled {
        // A budget that goes on to forbid a kill is told once.
        if !is_blocked(experiment, &victim) || attempt.outcome != Outcome::Blocked {
            metrics.killed(&victim, &attempt);
            let (outcome, message) = (attempt.outcome, attempt.message.as_deref());
            tracing::info!(
                experiment = experiment.name_any(),
                pod = victim.name,
                uid = victim.uid,
                slot = victim.slot,
                ?outcome,
                message,
                "kill"
            );
            // Of a held outage the first set is told: the status has the rest.
            if victim.first || attempt.outcome == Outcome::Failed {
                notices.push(Notice::killed(&victim, &attempt));
            }
        }
        attempts.push(attempt);
    }
    let is_settled = !attempts.is_empty();
    attempts.extend(unsure.into_iter().map(|(attempt, _)| attempt));
    let recorded = match record(experiments, experiment, &attempts, if is_settled { WRITES } else { 1 }).await {
        // What went wrong with kills that are tried again is for people: it is written once, or not at all.
        Err(_) if !is_settled => Ok(()),
        recorded => recorded,
    };
    // Events are for people: slow ones do not hold up the next kill.
    let events = join_all(notices.iter().map(|notice| hands.publish(experiment, notice)));
    if tokio::time::timeout(EVENTS_LIMIT, events).await.is_err() {
        tracing::warn!(experiment = experiment.name_any(), "events were not published in time");
    }
    recorded.map(|()| acted)
}

fn is_blocked(experiment: &ChaosExperiment, victim: &Victim) -> bool {
    let kills = experiment.run().map_or(&[][..], |run| &run.kills);
    kills.iter().any(|kill| (&kill.uid, kill.slot, kill.outcome) == (&victim.uid, victim.slot, Outcome::Blocked))
}

/// The experiment with what came of its kills, if that says anything new of the run that planned them.
fn told(experiment: &ChaosExperiment, planned_by: Option<Uuid>, attempts: &[Attempt]) -> Option<ChaosExperiment> {
    let run = experiment.run().filter(|run| !attempts.is_empty() && Some(run.id) == planned_by)?;
    let mut told = experiment.clone();
    decide::outcomes(told.status.as_mut()?.run.as_mut()?, attempts);
    (told.run() != Some(run)).then_some(told)
}

/// Outcomes belong to the run that planned the kills, whoever else has written to the status meanwhile. Nobody else knows them,
/// so a write that fails is tried again, so many `writes` in all.
async fn record(
    experiments: &Api<ChaosExperiment>,
    experiment: &ChaosExperiment,
    attempts: &[Attempt],
    writes: usize,
) -> Result<(), Error> {
    let planned_by = experiment.run().map(|run| run.id);
    let mut trouble = Error::Contended;
    let mut read = Cow::Borrowed(experiment);
    for left in (0..writes).rev() {
        // What was read stays as it is: it is tried with again where the next read fails.
        let Some(told) = told(&read, planned_by, attempts) else { return Ok(()) };
        match write(experiments, &told).await {
            Ok(_) => return Ok(()),
            Err(_) if left == 0 => break,
            Err(error) if error.is_conflict() => {}
            Err(error) => {
                trouble = error;
                tokio::time::sleep(AFTER_UNKNOWN).await;
            }
        }
        match in_time(experiments.get_opt(&experiment.name_any())).await {
            Ok(Some(fresh)) => read = Cow::Owned(fresh),
            Ok(None) => return Ok(()),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

/// Replaces the status on condition that nobody has written since it was read.
///
/// # Errors
/// Where somebody has, or the API server does not take it.
pub async fn write(experiments: &Api<ChaosExperiment>, experiment: &ChaosExperiment) -> Result<ChaosExperiment, Error> {
    in_time(experiments.replace_status(&experiment.name_any(), &PostParams::default(), experiment)).await
}
