//! Dead before each request, dead after it, its answer lost; and pairs of these.

use std::time::Duration;

use breakwater_faults::{
    lab::{Played, Setup},
    net::Fate,
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, know, verdict};

const CRASHES: [Fate; 3] = [Fate::DeadBefore, Fate::DeadAfter, Fate::AnswerLost];
/// How much longer a run may take for one crash: the time to take over, to hear the clients, and to look again.
const LONGER: Duration = Duration::from_secs(30);

/// The run ends as it would have without the crash, and soon.
fn as_ever(played: &Played, time: Duration) -> Vec<String> {
    let mut wrong = vec![];
    let (said, wanted) = (verdict(played), played.workload.verdict);
    // An outage that the operator was away from may prove nothing; it never blames or clears a client that did nothing else.
    if said != wanted && said != "Inconclusive" {
        wrong.push(format!("the verdict is {said}, not {wanted}"));
    }
    if played.time > time {
        wrong.push(format!("it took {:?}, longer than {time:?}", played.time));
    }
    wrong
}

#[test]
fn at_every_request_of_every_workload() {
    let known = know(workloads::all());
    let cases = Cases::new(&known, 5, |known| known.requests * CRASHES.len());
    let longest = known.iter().map(|known| known.time).max().unwrap_or_default() + LONGER;
    let case = |number| {
        let (known, number) = cases.get(number);
        let (index, crash) = (number / CRASHES.len(), CRASHES[number % CRASHES.len()]);
        let plan =
            Box::new(move |sent: &breakwater_faults::net::Sent| if sent.index == index { crash } else { Fate::Pass });
        let setup = Setup { plan, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {crash:?} at request {index}", known.workload.name), setup }
    };
    sweep(cases.count(), case, |played| as_ever(played, longest)).expect_none("one crash");
}

#[test]
fn at_two_requests() {
    let names = ["single kill", "at a moment", "two of three"];
    let known = know(names.into_iter().map(workloads::named).collect());
    let kinds = CRASHES.len() * CRASHES.len();
    // After a crash there are more requests: the second one may come among those.
    let span = |requests: usize| requests + 16;
    let cases = Cases::new(&known, 101, |known| span(known.requests) * (span(known.requests) - 1) / 2 * kinds);
    let longest = known.iter().map(|known| known.time).max().unwrap_or_default() + LONGER * 2;
    let case = |number| {
        let (known, number) = cases.get(number);
        let (first, second) = pair(number / kinds);
        let (one, other) = (CRASHES[number % kinds / CRASHES.len()], CRASHES[number % CRASHES.len()]);
        let plan = Box::new(move |sent: &breakwater_faults::net::Sent| match sent.index {
            index if index == first => one,
            index if index == second => other,
            _ => Fate::Pass,
        });
        let setup = Setup { plan, ..Setup::calm(&known.workload) };
        Case {
            name: format!("{}: {one:?} at request {first}, {other:?} at request {second}", known.workload.name),
            setup,
        }
    };
    sweep(cases.count(), case, |played| as_ever(played, longest)).expect_none("two crashes");
}

/// All pairs (first, second) with first < second, in the order of second.
fn pair(number: usize) -> (usize, usize) {
    let mut second = ((2.0 * number as f64).sqrt()) as usize;
    while second * (second + 1) / 2 <= number {
        second += 1;
    }
    while second * (second - 1) / 2 > number {
        second -= 1;
    }
    (number - second * (second - 1) / 2, second)
}

#[test]
fn pairs_are_all_there() {
    let pairs: std::collections::BTreeSet<_> = (0..45).map(pair).collect();
    assert_eq!(pairs.len(), 45);
    assert!(pairs.iter().all(|(first, second)| first < second && *second < 10));
}
