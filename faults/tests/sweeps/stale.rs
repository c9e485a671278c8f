//! Watches that lose, double and swap what they tell.

use breakwater_faults::{
    lab::{Happening, Setup},
    net::LineFate,
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, know};

const FATES: [LineFate; 3] = [LineFate::Drop, LineFate::Double, LineFate::Swap];

#[test]
fn every_line_of_every_watch() {
    let known = know(workloads::all());
    let cases = Cases::new(&known, 20, |known| known.lines * FATES.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (line, fate) = (number / FATES.len(), FATES[number % FATES.len()]);
        let lines = Box::new(move |number| if number == line { fate } else { LineFate::Pass });
        let setup = Setup { lines, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {fate:?} of line {line}", known.workload.name), setup }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("lines of watches");
}

#[test]
fn every_line_at_once() {
    let known = know(workloads::all());
    let case = |number: usize| {
        let (workload, fate) = (&known[number / FATES.len()].workload, FATES[number % FATES.len()]);
        // An experiment that nobody hears of is found at the next list; so the very first line comes.
        let lines = Box::new(move |number| if number == 0 { LineFate::Pass } else { fate });
        Case {
            name: format!("{}: {fate:?} of all lines", workload.name),
            setup: Setup { lines, ..Setup::calm(workload) },
        }
    };
    sweep(known.len() * FATES.len(), case, |_| vec![]).expect_none("all lines of watches");
}

#[test]
fn an_object_that_cannot_be_read_beside_healthy_ones() {
    let known = know(workloads::all());
    let case = |number: usize| {
        let workload = &known[number].workload;
        let happenings = vec![(100, Happening::Undecodable), (900, Happening::Compact)];
        Case { name: workload.name.into(), setup: Setup { happenings, ..Setup::calm(workload) } }
    };
    sweep(known.len(), case, |_| vec![]).expect_none("an undecodable object, and a compaction");
}
