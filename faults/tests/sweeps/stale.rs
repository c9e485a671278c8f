//! Reads that show an older version, and watches that lose, double and swap what they tell.
//!
//! Kubernetes serves only the lists that watches begin from out of a cache that may lag behind: the operator asks for all else
//! from the store. The sweeps let every read lag all the same: nothing that a kill stands on is taken at its word, as each write names
//! the version that it is based on. What no precondition can say is how many others are ready: that is as old as its list.

use std::collections::BTreeMap;

use breakwater_fake_apiserver::{Route, Verb, http::Request};
use breakwater_faults::{
    lab::{Happening, Played, Setup},
    net::{Fate, LineFate, Sent},
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, GOES_ON, Known, at, know, late, stuck, times};

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
    let times = times(&known);
    let in_time = |played: &Played| late(played, times[played.workload.name] + GOES_ON);
    sweep(cases.count(), case, in_time).expect_none("lines of watches");
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

/// Every read of a run without a fault, with each older revision at which it shows something else.
fn reads(known: &Known) -> Vec<(usize, u64)> {
    let kinds = known.server.kinds();
    let state = known.server.state();
    let mut reads = vec![];
    for sent in known.sent.iter().take(known.requests).filter(|sent| sent.method == "GET") {
        let request = Request::get(&sent.path).body(()).expect("it was sent");
        let Ok(route) = Route::parse(kinds, &request.into_parts().0) else { continue };
        if route.verb == Verb::Watch {
            continue;
        }
        let older = state.store.since(0).iter().take_while(|change| change.revision <= sent.revision);
        let meant = older.filter(|change| {
            let (kind, namespace, name) = &change.key;
            *kind == route.kind
                && (route.namespace.is_empty() || *namespace == route.namespace)
                && (route.name.is_empty() || *name == route.name)
        });
        reads.extend(meant.map(|change| (sent.index, change.revision - 1)));
    }
    reads
}

#[test]
fn every_older_version_at_every_read() {
    let known = know(workloads::all());
    let reads: BTreeMap<_, _> = known.iter().map(|known| (known.workload.name, reads(known))).collect();
    let cases = Cases::new(&known, 20, |known| reads[known.workload.name].len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let of = known.workload.name;
        let (index, revision) = reads[of][number];
        let setup = Setup { plan: at(index, Fate::Stale(revision)), ..Setup::calm(&known.workload) };
        Case { name: format!("{of}: read {index} as of revision {revision}"), setup }
    };
    let times = times(&known);
    let in_time = |played: &Played| late(played, times[played.workload.name] + GOES_ON);
    sweep(cases.count(), case, in_time).expect_none("older versions");
}

#[test]
fn all_reads_lag_for_a_while() {
    let known = know(workloads::all());
    let (windows, reads) = (16, [8, 40]);
    let cases = Cases::new(&known, 4, |_| windows * reads.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (count, from) = (reads[number % reads.len()], known.requests * (number / reads.len()) / windows);
        let mut frozen = None;
        let plan = Box::new(move |sent: &Sent| {
            if !(from..from + count).contains(&sent.index) {
                return Fate::Pass;
            }
            Fate::Stale(*frozen.get_or_insert(sent.revision))
        });
        let setup = Setup { plan, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: reads {from} to {} lag", known.workload.name, from + count), setup }
    };
    let times = times(&known);
    sweep(cases.count(), case, |played| stuck(played, &times)).expect_none("reads that lag");
}
