//! When runs begin: a start is used once, one that was missed is made up for once at most, and there is never a burst.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    history::{Step, when},
    lab::{Happening, Played},
};

/// The schedules of the workloads start a run a minute.
const EACH: SignedDuration = SignedDuration::from_secs(60);

/// A run as it was first written down.
struct Start {
    id: Uuid,
    /// By the server's clock.
    at: Timestamp,
    /// By the clock of the operator that began it.
    told: Timestamp,
    scheduled: Option<Timestamp>,
}

/// What is wrong with the starts of a run.
pub fn starts(played: &Played, steps: &[Step]) -> Vec<String> {
    let mut wrong = vec![];
    for starts in begun(played, steps).into_values() {
        let mut used = BTreeSet::new();
        for slot in starts.iter().filter_map(|start| start.scheduled) {
            if !used.insert(slot) {
                wrong.push(format!("the start of {slot} was used twice"));
            }
        }
        if is_punctual(played) {
            for pair in starts.windows(2) {
                if let Some(slot) = pair[1].scheduled.filter(|slot| *slot <= pair[0].told) {
                    wrong.push(format!("the start of {slot} was made up for after that run of {}", pair[0].told));
                }
            }
        }
        // One that is late, the next one in time, and one for each clock that went on by itself.
        let most = 2 + clocks(played);
        for (first, start) in starts.iter().enumerate() {
            let near = starts[first..].iter().take_while(|other| other.at.duration_since(start.at) < EACH).count();
            if near > most {
                wrong.push(format!("{near} runs were begun within a minute from {}", start.at));
            }
        }
    }
    wrong
}

/// Clocks that differ or go back say nothing of what was due when.
fn is_punctual(played: &Played) -> bool {
    let back = |(_, happening): &(u64, Happening)| matches!(happening, Happening::Jump(seconds) if *seconds < 0);
    played.skews.iter().all(|skew| *skew >= SignedDuration::ZERO && *skew == played.skews[0])
        && !played.happenings.iter().any(back)
}

/// How often an operator's clock shows something else than the one before it.
fn clocks(played: &Played) -> usize {
    let jumps = played.happenings.iter().filter(|(_, happening)| matches!(happening, Happening::Jump(_))).count();
    let different: BTreeSet<_> = played.skews.iter().collect();
    jumps + different.len() - 1
}

/// The runs of each experiment, by its uid.
fn begun(played: &Played, steps: &[Step]) -> BTreeMap<String, Vec<Start>> {
    let mut all: BTreeMap<String, Vec<Start>> = BTreeMap::new();
    for step in steps {
        let Step::Experiment(experiment) = step else { continue };
        let Some(run) = experiment.run() else { continue };
        let starts = all.entry(experiment.metadata.uid.clone().unwrap_or_default()).or_default();
        if starts.iter().any(|start| start.id == run.id) {
            continue;
        }
        let revision = experiment.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        let at = when(&played.server, revision.unwrap_or(0)).unwrap_or(run.started_at);
        starts.push(Start { id: run.id, at, told: run.started_at, scheduled: run.scheduled_at });
    }
    all
}
