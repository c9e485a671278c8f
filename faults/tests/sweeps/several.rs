//! Two and three operators at once: side by side, one paused and woken later, with clocks that are years apart.

use std::time::Duration;

use breakwater_faults::{
    lab::{Happening, Setup},
    net::Fate,
    sweep::{Case, sweep},
    workloads,
};
use jiff::SignedDuration;

use crate::{Cases, at, know, stuck, times};

#[test]
fn side_by_side() {
    let known = know(workloads::all());
    let case = |number: usize| {
        let (workload, operators) = (&known[number / 2].workload, 2 + number % 2);
        let setup = Setup { operators: vec![SignedDuration::ZERO; operators], ..Setup::calm(workload) };
        Case { name: format!("{}: {operators} operators", workload.name), setup }
    };
    sweep(known.len() * 2, case, |_| vec![]).expect_none("two and three operators");
}

#[test]
fn one_paused_at_every_request_and_woken_later() {
    let pauses = [Duration::from_secs(3), Duration::from_secs(30)];
    let known = know(workloads::all());
    // Two operators ask for twice as much.
    let cases = Cases::new(&known, 40, |known| 2 * known.requests * pauses.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (index, pause) = (number / pauses.len(), pauses[number % pauses.len()]);
        let plan = at(index, Fate::Paused(pause));
        let setup = Setup { plan, operators: vec![SignedDuration::ZERO; 2], ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {pause:?} at request {index} of two operators", known.workload.name), setup }
    };
    let times = times(&known);
    sweep(cases.count(), case, |played| stuck(played, &times)).expect_none("two operators, one paused");
}

#[test]
fn with_clocks_ten_years_apart_and_clocks_that_jump() {
    let known = know(workloads::all());
    let years = SignedDuration::from_hours(24 * 3652);
    let skews: [&[SignedDuration]; 4] =
        [&[years], &[-years], &[SignedDuration::ZERO, years], &[SignedDuration::ZERO, -years]];
    let jumps = [-315_532_800, -3600, -5, 5, 3600, 315_532_800];
    let each = skews.len() + 4 * jumps.len();
    let cases = Cases::new(&known, 4, |_| each);
    let case = |number| {
        let (known, number) = cases.get(number);
        let workload = &known.workload;
        if let Some(skew) = skews.get(number) {
            let setup = Setup { operators: skew.to_vec(), ..Setup::calm(workload) };
            return Case { name: format!("{}: clocks off by {skew:?}", workload.name), setup };
        }
        let number = number - skews.len();
        let jump = jumps[number % jumps.len()];
        let at = known.busy().0 + 300 + 700 * (number / jumps.len()) as u64;
        let setup = Setup { happenings: vec![(at, Happening::Jump(jump))], ..Setup::calm(workload) };
        Case { name: format!("{}: clocks jump by {jump} s after {at} ms", workload.name), setup }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("clocks");
}
