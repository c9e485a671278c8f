//! Without any fault every workload comes to its verdict, and the same seed makes the same run.

use breakwater_faults::{
    check::check,
    history::{experiments, steps},
    lab::{Played, Setup, play},
    sweep::trace,
    workloads,
};

fn verdict(played: &Played) -> String {
    let experiment = experiments(&steps(&played.server)).into_values().next_back();
    let status = experiment.and_then(|experiment| experiment.status).unwrap_or_default();
    let last = status.history.last().map(|run| run.verdict);
    last.or(status.verdict).map_or("none".into(), |verdict| format!("{verdict:?}"))
}

#[test]
fn every_workload_comes_to_its_verdict() {
    for workload in workloads::all() {
        let played = play(Setup::calm(&workload));
        let wrong = check(&played);
        assert!(wrong.is_empty(), "{}: {wrong:#?}\n{}", workload.name, trace(&played));
        assert_eq!(verdict(&played), workload.verdict, "{}\n{}", workload.name, trace(&played));
        println!(
            "{}: {} requests, {} lines, {:?}",
            workload.name,
            played.network.count(),
            played.network.told(),
            played.time
        );
    }
}

#[test]
fn the_same_run_is_played_twice() {
    for workload in workloads::all() {
        let (once, again) = (play(Setup::calm(&workload)), play(Setup::calm(&workload)));
        assert_eq!(trace(&once), trace(&again), "{}", workload.name);
    }
}
