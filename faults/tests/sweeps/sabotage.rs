//! The proof that the sweeps bite: an operator with a defect does not get through.

use std::time::Duration;

use breakwater_faults::{
    check::check,
    lab::{Setup, play},
    net::{Fate, Sent},
    sabotage::{DEFECTS, Defect},
    workloads,
};
use jiff::SignedDuration;

/// What a defect does wrong in these runs: alone, and beside an operator that stands still for a while at some request.
fn noticed(defect: Defect) -> Option<String> {
    let paused = (10..120).step_by(9).map(Some);
    std::iter::once(None).chain(paused).find_map(|pause: Option<usize>| {
        let workload = workloads::named(if defect == Defect::AnotherVictim { "single kill" } else { "outage" });
        let operators = vec![SignedDuration::ZERO; if pause.is_some() { 2 } else { 1 }];
        let plan = Box::new(
            move |sent: &Sent| {
                if Some(sent.index) == pause { Fate::Paused(Duration::from_secs(3)) } else { Fate::Pass }
            },
        );
        let setup = Setup { plan, operators, defect: Some(defect), ..Setup::calm(&workload) };
        check(&play(setup)).into_iter().next()
    })
}

#[test]
fn every_defect_is_noticed() {
    for defect in DEFECTS {
        let wrong = noticed(defect);
        println!("{defect:?}: {}", wrong.as_deref().unwrap_or("not noticed"));
        assert!(wrong.is_some(), "{defect:?} was not noticed");
    }
}
