//! Without any fault every workload comes to its verdict, and the same seed makes the same run.

use breakwater_faults::{
    check::check,
    lab::{Setup, play},
    sweep::trace,
    workloads,
};

use crate::verdict;

#[test]
fn every_workload_comes_to_its_verdict() {
    for workload in workloads::all() {
        let played = play(Setup::calm(&workload));
        let wrong = check(&played);
        assert!(wrong.is_empty(), "{}: {wrong:#?}\n{}", workload.name, trace(&played));
        assert_eq!(verdict(&played), workload.verdict, "{}\n{}", workload.name, trace(&played));
    }
}

#[test]
fn the_same_run_is_played_twice() {
    for workload in workloads::all() {
        let (once, again) = (play(Setup::calm(&workload)), play(Setup::calm(&workload)));
        assert_eq!(trace(&once), trace(&again), "{}", workload.name);
    }
}
