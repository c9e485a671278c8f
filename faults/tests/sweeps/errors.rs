//! Each error at every request; and an API server that is away for a while.

use std::{collections::BTreeMap, time::Duration};

use breakwater_faults::{
    history::{last, steps},
    lab::{Played, Setup, play},
    net::{Fate, Sent},
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, GOES_ON, Known, UNANSWERED, at, know, late, stuck, times};

const ERRORS: [Fate; 10] = [
    Fate::Status(409),
    Fate::Status(410),
    Fate::Busy(3600),
    Fate::Status(500),
    Fate::Status(504),
    Fate::Silence,
    Fate::SilenceAfter,
    Fate::Refused,
    Fate::HalfBody,
    Fate::Late(Duration::from_secs(20)),
];
/// A request that is never answered is given up, a watch after its own time-out; then the run goes on.
const LONGER: Duration = UNANSWERED.saturating_add(GOES_ON);

#[test]
fn at_every_request() {
    let known = know(workloads::all());
    let cases = Cases::new(&known, 16, |known| known.requests * ERRORS.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (index, error) = (number / ERRORS.len(), ERRORS[number % ERRORS.len()]);
        let setup = Setup { plan: at(index, error), ..Setup::calm(&known.workload) };
        Case { name: format!("{}: {error:?} at request {index}", known.workload.name), setup }
    };
    let times = times(&known);
    let in_time = |played: &Played| late(played, times[played.workload.name] + LONGER);
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
    let times = times(&known);
    sweep(cases.count(), case, |played| stuck(played, &times)).expect_none("eight errors in a row");
}

/// Of the requests that say when to look, each and the first ones in a row are told to come again in an hour: nobody waits for that.
#[test]
fn an_hour_is_asked_for_by_every_list_and_watch() {
    let known = know(workloads::all());
    let busy = |known: &Known| known.sent.iter().filter(|sent| sent.is_watching()).map(|sent| sent.index).collect();
    let watching: Vec<Vec<usize>> = known.iter().map(busy).collect();
    let longest = watching.iter().map(Vec::len).max().unwrap_or_default() + 1;
    let times = times(&known);
    let case = |number: usize| {
        let (which, nth) = (number / longest, number % longest);
        let (workload, wanted) = (&known[which].workload, watching[which].get(nth).copied());
        let mut first = 0..3;
        let plan = Box::new(move |sent: &Sent| {
            let busy = match wanted {
                Some(index) => sent.index == index,
                None => sent.is_watching() && first.next().is_some(),
            };
            if busy { Fate::Busy(3600) } else { Fate::Pass }
        });
        let name =
            format!("{}: 429 at {}", workload.name, wanted.map_or("the first three".into(), |at| at.to_string()));
        Case { name, setup: Setup { plan, ..Setup::calm(workload) } }
    };
    // Three of them, one after the other.
    let in_time = |played: &Played| late(played, times[played.workload.name] + LONGER * 3);
    sweep(known.len() * longest, case, in_time).expect_none("an hour is asked for");
}

/// Somebody else has written when the outcome of the first kill is to be, and then the status cannot be read: the outcome is written
/// all the same.
#[test]
fn at_the_outcome_of_a_kill() {
    let all = workloads::all();
    let outcome = |played: &Played| Some(last(&steps(&played.server))?.run()?.kills.first()?.outcome);
    let calm = all.iter().map(|workload| (workload.name, outcome(&play(Setup::calm(workload)))));
    let calm: BTreeMap<_, _> = calm.collect();
    let case = |number: usize| {
        let workload = &all[number];
        let mut killed = false;
        let mut errors = [("PUT", Fate::Status(409)), ("GET", Fate::AnswerLost)].into_iter().peekable();
        let plan = Box::new(move |sent: &Sent| {
            let of_the_status = killed && sent.path.contains("/chaosexperiments/outage");
            killed |= sent.is_kill();
            let error = errors.next_if(|(method, _)| of_the_status && sent.method == *method);
            error.map_or(Fate::Pass, |(_, error)| error)
        });
        let name = format!("{}: 409, then an error", workload.name);
        Case { name, setup: Setup { plan, ..Setup::calm(workload) } }
    };
    let told = |played: &Played| {
        let (is, was) = (outcome(played), calm[played.workload.name]);
        let wrong = (is != was).then(|| format!("the first kill is told as {is:?}, without the errors as {was:?}"));
        wrong.into_iter().collect()
    };
    sweep(all.len(), case, told).expect_none("errors at an outcome");
}
