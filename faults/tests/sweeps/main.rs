//! The whole operator against everything that can go wrong, in virtual time.
//!
//! `BREAKWATER_EVERY=N` plays one case of N, evenly; `BREAKWATER_LONG=1` plays all of them. Without either, some of the larger sweeps
//! leave cases out, to be done in minutes: `cargo test --profile faults -p breakwater-faults -- --nocapture`.

mod calm;
mod crashes;
mod errors;
mod happenings;
mod random;
mod sabotage;
mod several;
mod stale;

use std::{collections::BTreeMap, time::Duration};

use breakwater_fake_apiserver::FakeApiServer;
use breakwater_faults::{
    history::{last, steps},
    lab::{Played, Setup, play},
    net::{Fate, Plan, Sent},
    workloads::Workload,
};
use breakwater_operator::requests::ANSWER_LIMIT;

/// A request that is never answered is given up after this time; what watches begin with after [`ANSWER_LIMIT`].
const UNANSWERED: Duration = Duration::from_secs(10);
/// After an error a run goes on within this time.
const GOES_ON: Duration = Duration::from_secs(30);

/// Whether there is time for all of it.
fn long() -> bool {
    std::env::var_os("BREAKWATER_LONG").is_some_and(|value| value == "1")
}

/// One case of how many is played, where `usual` is what there is time for.
fn every(usual: usize) -> usize {
    let asked = std::env::var("BREAKWATER_EVERY").ok().and_then(|value| value.parse::<usize>().ok());
    asked.unwrap_or(if long() { 1 } else { usual }).max(1)
}

/// This becomes of one request, and all others are answered.
fn at(index: usize, fate: Fate) -> Plan {
    Box::new(move |sent| if sent.index == index { fate } else { Fate::Pass })
}

/// How the last run of a played one ended.
fn verdict(played: &Played) -> String {
    let steps = steps(&played.server);
    let status = last(&steps).and_then(|experiment| experiment.status.clone()).unwrap_or_default();
    let last = status.history.last().map(|run| run.verdict);
    last.or(status.verdict).map_or("none".into(), |verdict| format!("{verdict:?}"))
}

/// What is wrong with a run that should not take longer than this.
fn late(played: &Played, limit: Duration) -> Vec<String> {
    let late = played.time > limit;
    late.then(|| format!("it took {:?}, longer than {limit:?}", played.time)).into_iter().collect()
}

/// What is wrong with a run that did not go on in time after the last fault; `times` are those without any.
fn stuck(played: &Played, times: &BTreeMap<&'static str, Duration>) -> Vec<String> {
    let sent = played.network.sent();
    let faults = sent.iter().filter(|(_, fate)| *fate != Fate::Pass);
    let lasts = |sent: &Sent, fate: &Fate| match fate {
        Fate::Paused(time) => *time,
        _ if sent.is_watching() => ANSWER_LIMIT,
        _ => UNANSWERED,
    };
    let over = faults.map(|(sent, fate)| sent.at + lasts(sent, fate)).max();
    let begun = sent.first().map_or(Duration::ZERO, |(first, _)| first.at);
    late(played, over.unwrap_or(begun).saturating_sub(begun) + GOES_ON + times[played.workload.name])
}

/// A workload, and what it takes when all is well.
struct Known {
    workload: Workload,
    requests: usize,
    lines: usize,
    time: Duration,
    /// When the first kill is sent, in milliseconds after the start.
    first_kill: u64,
    /// Its requests, in order.
    sent: Vec<Sent>,
    server: FakeApiServer,
}

impl Known {
    /// When it is about something, in milliseconds: from where, and for how long. A schedule's first start is a minute away.
    fn busy(&self) -> (u64, u64) {
        let (begin, end) =
            (self.first_kill.saturating_sub(4000), u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX));
        let most = if self.workload.runs > 1 { u64::MAX } else { 8000 };
        (begin, end.saturating_sub(begin).min(most))
    }
}

fn know(workloads: Vec<Workload>) -> Vec<Known> {
    let know = |workload: Workload| {
        let played = play(Setup::calm(&workload));
        let sent: Vec<_> = played.network.sent().into_iter().map(|(sent, _)| sent).collect();
        let kill = sent.iter().find(|sent| sent.is_kill());
        let first_kill = kill.map_or(0, |kill| u64::try_from((kill.at - sent[0].at).as_millis()).unwrap_or(0));
        let (requests, lines) = (played.quiet_from, played.network.told());
        Known { workload, requests, lines, time: played.time, first_kill, sent, server: played.server }
    };
    workloads.into_iter().map(know).collect()
}

/// How long each workload takes when all is well, by its name.
fn times(known: &[Known]) -> BTreeMap<&'static str, Duration> {
    known.iter().map(|known| (known.workload.name, known.time)).collect()
}

/// Cases of several workloads, one after the other; `of` says how many a workload has.
struct Cases<'a> {
    known: &'a [Known],
    ends: Vec<usize>,
    stride: usize,
}

impl<'a> Cases<'a> {
    fn new(known: &'a [Known], stride: usize, of: impl Fn(&Known) -> usize) -> Self {
        let ends = known.iter().scan(0, |sum, known| {
            *sum += of(known);
            Some(*sum)
        });
        Self { known, ends: ends.collect(), stride: every(stride) }
    }

    fn count(&self) -> usize {
        self.ends.last().copied().unwrap_or(0).div_ceil(self.stride)
    }

    /// The workload of a case, and the case's number within it.
    fn get(&self, number: usize) -> (&'a Known, usize) {
        let number = number * self.stride;
        let which = self.ends.partition_point(|end| *end <= number);
        let begin = if which == 0 { 0 } else { self.ends[which - 1] };
        (&self.known[which], number - begin)
    }
}
