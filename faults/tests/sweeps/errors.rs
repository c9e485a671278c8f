//! Each error at every request; and an API server that is away for a while.

use std::time::Duration;

use breakwater_faults::{
    lab::Setup,
    net::{Fate, Sent},
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, know};

const ERRORS: [Fate; 9] = [
    Fate::Status(409),
    Fate::Status(410),
    Fate::Busy(3600),
    Fate::Status(500),
    Fate::Status(504),
    Fate::Silence,
    Fate::SilenceAfter,
    Fate::Refused,
    Fate::HalfBody,
];
/// A request that is never answered is given up after 10 s, a watch after its own time-out; then the run goes on within 30 s.
const LONGER: Duration = Duration::from_secs(10 + 30);

#[test]
fn at_every_request() {
    let known = know(workloads::all());
    let cases = Cases::new(&known, 41, |known| known.requests * ERRORS.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (index, error) = (number / ERRORS.len(), ERRORS[number % ERRORS.len()]);
        let plan = Box::new(move |sent: &Sent| if sent.index == index { error } else { Fate::Pass });
        let setup = Setup { plan, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {error:?} at request {index}", known.workload.name), setup }
    };
    let times: std::collections::BTreeMap<_, _> = known.iter().map(|known| (known.workload.name, known.time)).collect();
    let in_time = |played: &breakwater_faults::lab::Played| {
        let limit = times[played.workload.name] + LONGER;
        let late = played.time > limit;
        late.then(|| format!("it took {:?}, longer than {limit:?}", played.time)).into_iter().collect()
    };
    sweep(cases.count(), case, in_time).expect_none("one error");
}

#[test]
fn for_a_while() {
    let known = know(workloads::all());
    let windows = 12;
    let cases = Cases::new(&known, 10, |_| windows * ERRORS.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let error = ERRORS[number % ERRORS.len()];
        let from = known.requests * (number / ERRORS.len()) / windows;
        let plan = Box::new(move |sent: &Sent| if (from..from + 8).contains(&sent.index) { error } else { Fate::Pass });
        let setup = Setup { plan, ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {error:?} at requests {from} to {}", known.workload.name, from + 7), setup }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("eight errors in a row");
}
