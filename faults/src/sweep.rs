//! Many runs, side by side, and what is told of them.

use std::{
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    check::check,
    history::{experiments, steps},
    lab::{Played, Setup, play},
    net::Fate,
};

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs that were played.
    pub runs: usize,
    /// Requests of operators in them.
    pub requests: usize,
    /// Requests that something happened to.
    pub faulted: usize,
    /// Virtual time, all together.
    pub time: Duration,
    /// Runs in which an invariant was violated.
    pub violations: usize,
}

/// A run with a name by which it can be played again.
pub struct Case {
    /// Its name.
    pub name: String,
    /// What is played.
    pub setup: Setup,
}

/// Violations of one sweep that are told in full.
const TOLD: usize = 5;
/// How often it is told how far a sweep is.
const PROGRESS: Duration = Duration::from_secs(30);

/// Plays cases on all cores, and tells on standard error how far it is and, at once, what is wrong. Of each, `more` may find further
/// faults.
///
/// # Panics
/// Where a run panics.
#[allow(clippy::disallowed_methods, reason = "real time only paces what is told of it")]
pub fn sweep(count: usize, case: impl Fn(usize) -> Case + Sync, more: impl Fn(&Played) -> Vec<String> + Sync) -> Tally {
    let (next, so_far) = (AtomicUsize::new(0), Mutex::new((Tally::default(), Instant::now())));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let test = std::thread::current();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let Case { name, setup } = case(number);
                    let played = play(setup);
                    let mut wrong = check(&played);
                    wrong.extend(more(&played));
                    let (tally, told) = &mut *so_far.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(&name, &played, &wrong);
                    if told.elapsed() >= PROGRESS {
                        *told = Instant::now();
                        let what = test.name().unwrap_or("sweep");
                        eprintln!("  {what}: {} of {count} runs, {} violations", tally.runs, tally.violations);
                    }
                }
            });
        }
    });
    so_far.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

impl Tally {
    fn add(&mut self, name: &str, played: &Played, wrong: &[String]) {
        let sent = played.network.sent();
        self.runs += 1;
        self.requests += sent.len();
        self.faulted += sent.iter().filter(|(_, fate)| *fate != Fate::Pass).count();
        self.time += played.time;
        if wrong.is_empty() {
            return;
        }
        self.violations += 1;
        if self.violations <= TOLD {
            eprintln!("\n=== {name}\n{}\n  violated:\n    {}", trace(played), wrong.join("\n    "));
        }
    }

    /// One line.
    pub fn line(&self, what: &str) -> String {
        format!(
            "{what}: {} runs, {} requests, {} of them faulted, {:.1} virtual hours, {} violations",
            self.runs,
            self.requests,
            self.faulted,
            self.time.as_secs_f64() / 3600.0,
            self.violations
        )
    }

    /// Prints the line, and fails if anything is wrong.
    ///
    /// # Panics
    /// Where an invariant was violated.
    pub fn expect_none(&self, what: &str) {
        let line = self.line(what);
        println!("{line}");
        assert!(self.runs > 0, "{what}: nothing was played");
        assert!(self.violations == 0, "{line}; the first are above");
    }
}

/// A run as a person can read it: what the operators asked for, what became of it, and the statuses that were written.
pub fn trace(played: &Played) -> String {
    let mut text = String::new();
    let faults: Vec<_> = played.network.sent().into_iter().filter(|(_, fate)| *fate != Fate::Pass).collect();
    for (sent, fate) in faults.iter().take(20) {
        // An Event's name is made from the system's clock.
        let path = sent.path.split_once("/events/").map_or(&*sent.path, |(events, _)| events);
        let _always = writeln!(
            text,
            "  fault: {fate:?} at request {} of operator {}: {} {}",
            sent.index, sent.process, sent.method, path
        );
    }
    for (at, happening) in &played.happenings {
        let _always = writeln!(text, "  happening: after {at} ms {happening:?}");
    }
    let state = played.server.state();
    let told = state.requests.iter().filter(|request| request.kind != "events");
    for request in told {
        let at = request.at.strftime("%M:%S%.3f");
        let _always = writeln!(
            text,
            "  {at} {} {:?} {} {} -> {} (revision {})",
            request.by, request.verb, request.kind, request.object, request.code, request.revision
        );
    }
    drop(state);
    for experiment in experiments(&steps(&played.server)).into_values() {
        let status = experiment.status.unwrap_or_default();
        let _always = writeln!(
            text,
            "  at the end: {:?} {:?} {:?} {:?}",
            status.phase, status.verdict, status.reason, status.message
        );
        for kill in status.run.iter().flat_map(|run| &run.kills) {
            let _always = writeln!(text, "    set {} {} {:?} {:?}", kill.slot, kill.pod, kill.outcome, kill.message);
        }
    }
    text
}
