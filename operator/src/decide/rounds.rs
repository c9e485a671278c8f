//! Rounds of a run: each begins from a baseline of its own and is judged by itself.

use breakwater_breaker::State;
use breakwater_crds::{ChaosExperimentSpec, MAX_OWNERS, Replica, Round, Run, Summary};
use jiff::Timestamp;

use super::{plus, record};
use crate::world::World;

/// Whether the run has another round after this one.
pub fn another(spec: &ChaosExperimentSpec, run: &Run) -> bool {
    spec.schedule.as_ref().is_some_and(|schedule| run.round < schedule.rounds)
}

/// The baseline of a round is good.
pub fn begin(run: &mut Run, clients: Vec<Replica>, world: &World, now: Timestamp) {
    run.baseline_at.get_or_insert(now);
    run.round_at = Some(now);
    run.clients = clients;
    run.owners = world.targets.iter().filter_map(|pod| pod.owner.clone()).collect();
    run.owners.sort();
    run.owners.dedup();
    run.owners.truncate(MAX_OWNERS);
}

/// Closes a round that has passed, and clears what was of it alone; what is recorded of kills and transitions stays.
pub fn next(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, now: Timestamp) {
    record::calls(run, world);
    let mut summary = record::of_round(run);
    // Kills and errors are counted through the run; a round has its own.
    let before = |figure: fn(&Summary) -> u64| run.rounds.iter().map(|round| figure(&round.summary)).fold(0, plus);
    summary.kills = run.killed.saturating_sub(before(|summary| summary.kills));
    summary.errors = summary.errors.saturating_sub(before(|summary| summary.errors));
    let baseline_at = run.round_at.take().unwrap_or(run.started_at);
    run.rounds.push(Round { number: run.round, baseline_at, completed_at: now, summary });
    run.round = run.round.saturating_add(1);
    let pause = spec.schedule.as_ref().map_or_else(Default::default, |schedule| schedule.pause_between_rounds);
    run.waited_until = Some(pause.after(now));
    (run.hold_until, run.first_kill_at, run.first_failure_at) = (None, None, None);
    (run.targets_lost_at, run.targets_ready_at) = (None, None);
    (run.served_in_hold_at, run.unheld_at) = (None, None);
    run.survivors.clear();
}

/// A replica at the baseline of a later round: its cursor and its record go on.
pub fn fresh(replica: &Replica, calls: u64) -> Replica {
    Replica {
        breaker: State::Closed,
        sequence: vec![State::Closed],
        flaps: 0,
        time_to_open: None,
        time_to_close: None,
        calls_at_baseline: calls,
        ..replica.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::MAX_NUMBER;

    /// A status that somebody forged may have several such rounds; the operator reads it like any other.
    #[test]
    fn rounds_with_the_largest_figures_are_added_up() {
        let summary = Summary { kills: MAX_NUMBER, errors: MAX_NUMBER, ..Summary::default() };
        let round = |number| {
            let (baseline_at, completed_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            Round { number, baseline_at, completed_at, summary: summary.clone() }
        };
        let mut run = Run { rounds: (1..=3).map(round).collect(), round: 4, killed: 5, ..Run::default() };
        let spec = serde_json::json!({"target": {"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}},
            "observe": {"clients": []}});
        let spec: ChaosExperimentSpec = serde_json::from_value(spec).unwrap();
        next(&spec, &mut run, &World::default(), Timestamp::UNIX_EPOCH);
        let closed = &run.rounds[3].summary;
        assert_eq!((closed.kills, closed.errors, run.round), (0, 0, 5));
    }
}
