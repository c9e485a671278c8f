//! The cost of a call's passage through a breaker, side by side with the other breakers for Rust, in one run.
//!
//! `cargo bench --manifest-path client/breaker/compare/Cargo.toml` prints a table as it stands in the breaker's README.

mod subjects;
mod table;

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode};

/// Threads that use one breaker at the same time.
const THREADS: [u64; 3] = [1, 2, 8];

/// What is measured: what the breaker is set to, and what its peers do with the same settings.
struct Line {
    name: &'static str,
    subjects: Vec<(&'static str, Subject)>,
}

/// Gives a thread its hands on a breaker that all of them share: makes so many calls, one after the other.
type Subject = Box<dyn Fn() -> Box<dyn FnMut(u64) + Send>>;

/// The time of `calls` calls, dealt to so many threads.
fn time(subject: &Subject, calls: u64, threads: u64) -> Duration {
    let mut hands: Vec<_> = (0..threads).map(|_| subject()).collect();
    if let [only] = &mut hands[..] {
        let start = Instant::now();
        only(calls);
        return start.elapsed();
    }
    let each = calls.div_ceil(threads);
    let barrier = Barrier::new(hands.len());
    let run = |hand: &mut Box<dyn FnMut(u64) + Send>| {
        barrier.wait();
        let began = Instant::now();
        hand(each);
        (began, Instant::now())
    };
    // Each thread says when it began and ended: who waits for them may be woken late.
    let ran: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let threads: Vec<_> = hands.iter_mut().map(|hand| scope.spawn(|| run(hand))).collect();
        threads.into_iter().map(|thread| thread.join().expect("calls do not panic")).collect()
    });
    let (began, ended) = (ran.iter().map(|ran| ran.0).min(), ran.iter().map(|ran| ran.1).max());
    ended.zip(began).map_or(Duration::ZERO, |(ended, began)| ended - began)
}

/// Where many threads meet at its lock while it is open, tower-resilience waits for timers, and does not come back in
/// `block_on`: refused calls of it are measured with one thread only.
fn ends(line: &Line, subject: &str, threads: u64) -> bool {
    (line.name, subject) != ("open, refused", "tower-resilience") || threads == 1
}

fn main() {
    // Many short samples: the table takes the quickest of them, so that what else runs on the machine matters little.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(200)
        .configure_from_args();
    let lines = subjects::lines();
    for line in &lines {
        for threads in THREADS {
            let mut group = criterion.benchmark_group(format!("{}, {threads}", line.name));
            group.sampling_mode(SamplingMode::Flat);
            for (name, subject) in line.subjects.iter().filter(|(name, _)| ends(line, name, threads)) {
                group.bench_function(*name, |bencher| bencher.iter_custom(|calls| time(subject, calls, threads)));
            }
        }
    }
    table::print(&lines, &THREADS);
}
