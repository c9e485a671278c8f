//! Dead before each request, dead after it, its answer lost; and pairs of these.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use breakwater_crds::KillRecord;
use breakwater_faults::{
    history::{last, steps},
    lab::{OPENS, Played, Setup},
    net::{Fate, Sent},
    sweep::{Case, sweep},
    workloads,
};

use jiff::SignedDuration;

use crate::{Cases, at, every, know, late, verdict};

/// The ways to die at a request.
pub const CRASHES: [Fate; 3] = [Fate::DeadBefore, Fate::DeadAfter, Fate::AnswerLost];
/// How much longer a run may take for one crash: the time to take over, to hear the clients, and to look again.
const LONGER: Duration = Duration::from_secs(30);

/// The run ends as it would have without the crash, and soon; `excused` counts the runs that prove nothing, as they may.
fn as_ever(played: &Played, time: Duration, excused: &AtomicUsize) -> Vec<String> {
    let mut wrong = vec![];
    let (said, wanted) = (verdict(played), played.workload.verdict);
    if said != wanted {
        // It never blames or clears a client for what the operator did not do.
        if said == "Inconclusive" && was_away_in_a_hold(played) {
            excused.fetch_add(1, Ordering::Relaxed);
        } else {
            wrong.push(format!("the verdict is {said}, not {wanted}"));
        }
    }
    wrong.extend(late(played, time));
    wrong
}

/// An outage that nobody held for a while may prove nothing; every other run comes to its verdict whoever dies.
fn was_away_in_a_hold(played: &Played) -> bool {
    let steps = steps(&played.server);
    let Some(experiment) = last(&steps) else { return false };
    let Some(hold) = experiment.spec.kill.as_ref().and_then(|kill| kill.hold_for) else { return false };
    let Some(run) = experiment.run() else { return false };
    let crashed = |fate: Fate| CRASHES.contains(&fate);
    let sent = played.network.sent();
    sent.iter().filter(|(_, fate)| crashed(*fate)).any(|(sent, _)| {
        let at = OPENS + SignedDuration::try_from(sent.at).unwrap_or_default();
        let in_hold = |kill: &KillRecord| kill.planned_at <= at && at <= hold.after(kill.planned_at);
        run.kills.iter().any(in_hold)
    })
}

#[test]
fn at_every_request_of_every_workload() {
    let (known, excused) = (know(workloads::all()), AtomicUsize::new(0));
    let cases = Cases::new(&known, 1, |known| known.requests * CRASHES.len());
    let longest = known.iter().map(|known| known.time).max().unwrap_or_default() + LONGER;
    let case = |number| {
        let (known, number) = cases.get(number);
        let (index, crash) = (number / CRASHES.len(), CRASHES[number % CRASHES.len()]);
        let setup = Setup { plan: at(index, crash), ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {crash:?} at request {index}", known.workload.name), setup }
    };
    assert!(
        known.len() >= 20 && cases.count() >= 12_000 / every(1),
        "{} workloads, {} crashes",
        known.len(),
        cases.count()
    );
    sweep(cases.count(), case, |played| as_ever(played, longest, &excused)).expect_none("one crash");
    println!("one crash: {} runs prove nothing, as nobody held their outage for a while", excused.into_inner());
}

#[test]
fn at_two_requests() {
    let names = ["single kill", "at a moment", "two of three"];
    let (known, excused) = (know(names.into_iter().map(workloads::named).collect()), AtomicUsize::new(0));
    let kinds = CRASHES.len() * CRASHES.len();
    // After a crash there are more requests: the second one may come among those.
    let span = |requests: usize| requests + 16;
    let cases = Cases::new(&known, 10, |known| span(known.requests) * (span(known.requests) - 1) / 2 * kinds);
    let longest = known.iter().map(|known| known.time).max().unwrap_or_default() + LONGER * 2;
    let case = |number| {
        let (known, number) = cases.get(number);
        let (first, second) = pair(number / kinds);
        let (one, other) = (CRASHES[number % kinds / CRASHES.len()], CRASHES[number % CRASHES.len()]);
        let plan = Box::new(move |sent: &Sent| match sent.index {
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
    assert!(cases.count() >= 80_000 / every(10), "{} pairs of crashes", cases.count());
    sweep(cases.count(), case, |played| as_ever(played, longest, &excused)).expect_none("two crashes");
    assert_eq!(excused.into_inner(), 0, "none of these holds an outage");
}

/// Nobody takes over before a kill's deadline is over, or everybody's patience.
#[test]
fn and_nobody_takes_over_for_a_while() {
    let known = know(workloads::all());
    let absences = [12, 70].map(SignedDuration::from_secs);
    let cases = Cases::new(&known, 16, |known| known.requests * CRASHES.len() * absences.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (take_over, number) = (absences[number % absences.len()], number / absences.len());
        let (index, crash) = (number / CRASHES.len(), CRASHES[number % CRASHES.len()]);
        let setup = Setup { plan: at(index, crash), take_over, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {crash:?} at request {index}, {take_over:?} away", known.workload.name), setup }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("one crash, and nobody for a while");
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
