//! Whom to kill. The same set (slot) of the same experiment always chooses the same pods, so nothing needs to be drawn.

use breakwater_crds::{MAX_SPARED, Pods};
use uuid::Uuid;

use crate::world::Target;

/// A set of kills, and the uids of those that it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub victims: Vec<Target>,
    pub spared: Vec<String>,
}

/// The first set of a run: of one or a fixed number, pods that are ready; of all, every pod that is not ending.
pub fn first(pods: &Pods, experiment: Uuid, targets: &[Target]) -> Choice {
    let all = matches!(pods, Pods::All(_));
    let candidates = targets.iter().filter(|pod| pod.alive && !pod.exempt && (all || pod.ready)).collect();
    let victims = take(limit(pods), experiment, 1, candidates);
    let spared = targets
        .iter()
        .filter(|pod| pod.alive && !victims.iter().any(|victim| victim.uid == pod.uid))
        .map(|pod| pod.uid.clone())
        .collect();
    Choice { victims, spared }
}

/// What has replaced killed pods: those that are not spared, as many as one set may name. If there are more, the target was
/// scaled up while its outage is held: the rest is spared from now on, so that no more are down at once than were asked for.
pub fn replacements(pods: &Pods, experiment: Uuid, slot: u64, spared: &[String], targets: &[Target]) -> Choice {
    let candidates: Vec<_> =
        targets.iter().filter(|pod| pod.alive && !pod.exempt && !spared.contains(&pod.uid)).collect();
    let victims = take(limit(pods), experiment, slot, candidates.clone());
    let rest =
        candidates.into_iter().filter(|pod| !victims.contains(pod)).map(|pod| pod.uid.clone()).collect::<Vec<_>>();
    if spared.len() + rest.len() > MAX_SPARED {
        return Choice::default();
    }
    Choice { victims, spared: rest }
}

/// How many pods one set may name.
pub fn limit(pods: &Pods) -> usize {
    let asked = match pods {
        Pods::All(_) => usize::MAX,
        Pods::One(_) => 1,
        Pods::Fixed(count) => *count as usize,
    };
    asked.min(breakwater_crds::MAX_KILLS)
}

fn take(count: usize, experiment: Uuid, slot: u64, mut candidates: Vec<&Target>) -> Vec<Target> {
    candidates.sort_by_cached_key(|pod| {
        (Uuid::new_v5(&experiment, format!("{slot}/{}", pod.uid).as_bytes()), pod.uid.clone())
    });
    candidates.into_iter().take(count).cloned().collect()
}
