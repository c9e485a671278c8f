//! The client under load of its own, on loopback, against a backend that dies and comes back: is a call lost, does a
//! half-open permit stay out, and what do breaker and retries add to the time of a call?
//!
//! `cargo run --release -p breakwater-client --example load` (two minutes and a half); with another number of rounds
//! than 8 it takes as much longer or shorter. The ways take turns, so that what else the machine does falls on all of them.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock and waits")]

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use breakwater_breaker::{State, wire::CallCounts};
use breakwater_client::{
    attempt::Attempts,
    caller::{Caller, Outcome},
    clock::Clock,
    http::Backend,
    metrics::Metrics,
    settings::{Settings, Task},
    target::{Followed, half_open_in_time},
};
use tokio::{runtime::Runtime, time::sleep};
use uuid::Uuid;

/// So many callers call one after the other, each as fast as it is answered.
const CALLERS: usize = 32;
/// Every so-manyth request fails while the backend lives.
const FAILS_EVERY: u64 = 1000;
/// How long a round is for each way, and when in it the backend dies and comes back, if it does.
const ROUND: Duration = Duration::from_secs(3);
const DIES_AT: Duration = Duration::from_millis(800);
const DEAD: Duration = Duration::from_millis(700);
/// A caller that is refused comes back after so long: else the refused calls would be all the load there is.
const REFUSED: Duration = Duration::from_millis(5);

const SETTINGS: &str = "--attempt-timeout 250ms --deadline 1s --retry-base 20ms --retry-cap 100ms --open-for 500ms \
                        --failure-threshold 5 --retry-reserve 0";

/// A way to call.
#[derive(Clone, Copy)]
enum Way {
    /// HTTP alone.
    Bare,
    /// The client, with so many attempts a call.
    Client(u32),
}

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).map_or(Ok(8), |text| text.parse());
    let Ok(rounds @ 1..) = rounds else {
        eprintln!("error: write a number of rounds, like 8");
        return ExitCode::from(2);
    };
    let load = ROUND * rounds;
    println!("{CALLERS} callers, {load:?} each way; one request in {FAILS_EVERY} fails.\n");
    println!("| backend | client | calls | answered | failed | refused | lost | p50 | p90 | p99 | p99.9 |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut sound = true;
    for dies in [false, true] {
        let mut runs = [Way::Bare, Way::Client(1), Way::Client(2)].map(|way| (way, Run::default()));
        for _ in 0..rounds {
            for (way, sum) in &mut runs {
                sum.add(Runtime::new().expect("threads can be started").block_on(measure(*way, dies)));
            }
        }
        let bare = runs[0].1.times();
        for (way, run) in &runs {
            println!("{}", run.row(*way, dies, &bare));
            sound &= run.lost() == 0 && run.stuck == 0;
        }
    }
    if sound {
        println!("\nNo call is lost, every permit came back, and every breaker is closed again.");
        ExitCode::SUCCESS
    } else {
        println!("\nA call is lost, or a permit is out for ever.");
        ExitCode::FAILURE
    }
}

/// What came of the calls.
#[derive(Default)]
struct Run {
    started: u64,
    failed: u64,
    refused: u64,
    /// How long each call took that was answered.
    answered: Vec<Duration>,
    /// Breakers that were not closed when all was over, or had permits out.
    stuck: u64,
}

impl Run {
    fn add(&mut self, other: Self) {
        self.started += other.started;
        self.failed += other.failed;
        self.refused += other.refused;
        self.answered.extend(other.answered);
        self.stuck += other.stuck;
    }

    fn lost(&self) -> i128 {
        i128::from(self.started) - (self.answered.len() as i128 + i128::from(self.failed) + i128::from(self.refused))
    }

    /// So many milliseconds 50, 90, 99 and 99.9 % of the answered calls took at most.
    fn times(&self) -> [f64; 4] {
        let mut took = self.answered.clone();
        took.sort_unstable();
        let at = |permille: usize| took.get((took.len().max(1) - 1) * permille / 1000).copied().unwrap_or_default();
        [500, 900, 990, 999].map(|permille| at(permille).as_secs_f64() * 1e3)
    }

    /// A row of the table; after each time, what the client adds to it.
    fn row(&self, way: Way, dies: bool, bare: &[f64; 4]) -> String {
        let backend = if dies { "dies and comes back" } else { "lives" };
        let client = match way {
            Way::Bare => "none".to_owned(),
            Way::Client(1) => "breaker, no retry".to_owned(),
            Way::Client(attempts) => format!("breaker, {attempts} attempts"),
        };
        let Self { started, failed, refused, .. } = self;
        let times: Vec<_> = self
            .times()
            .into_iter()
            .zip(bare)
            .map(|(time, bare)| match way {
                Way::Bare => format!("{time:.2} ms"),
                Way::Client(_) => format!("{time:.2} ms ({:+.2})", time - bare),
            })
            .collect();
        let (answered, lost, times) = (self.answered.len(), self.lost(), times.join(" | "));
        format!("| {backend} | {client} | {started} | {answered} | {failed} | {refused} | {lost} | {times} |")
    }
}

/// Loads a backend of its own in one way for a round.
async fn measure(way: Way, dies: bool) -> Run {
    let stop = Arc::new(AtomicBool::new(false));
    let address = free_address();
    let life = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || live_and_die(address, dies, &stop)
    });
    while tokio::net::TcpStream::connect(address).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let run = match way {
        Way::Bare => bare(address).await,
        Way::Client(attempts) => client(attempts, address).await,
    };
    stop.store(true, Relaxed);
    life.await.expect("the backend ends");
    run
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port")
}

/// A backend that may die once, and lives when it ends. Its runtime is its own, so that its death closes every connection.
fn live_and_die(address: SocketAddr, dies: bool, stop: &AtomicBool) {
    let requests = Arc::new(AtomicU64::new(0));
    if dies {
        let backend = live(address, &requests);
        std::thread::sleep(DIES_AT);
        backend.shutdown_timeout(Duration::from_millis(100));
        std::thread::sleep(DEAD);
    }
    let backend = live(address, &requests);
    while !stop.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    backend.shutdown_timeout(Duration::from_millis(100));
}

fn live(address: SocketAddr, requests: &Arc<AtomicU64>) -> Runtime {
    let listener = TcpListener::bind(address).expect("the port is still free");
    listener.set_nonblocking(true).expect("it is a socket");
    let requests = Arc::clone(requests);
    let answer = move || {
        let fails = requests.fetch_add(1, Relaxed) % FAILS_EVERY == FAILS_EVERY - 1;
        std::future::ready(if fails { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok("{}") })
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a thread can be started");
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("there is a reactor");
        axum::serve(listener, Router::new().route("/data", get(answer))).await
    });
    runtime
}

fn settings(attempts: u32, address: SocketAddr) -> Settings {
    let words = format!("load --backend-url http://{address}/data --attempts {attempts} {SETTINGS}");
    match Task::read(words.split_whitespace()) {
        Ok(Task::Serve(settings)) => *settings,
        other => panic!("the settings are sound: {other:?}"),
    }
}

async fn bare(address: SocketAddr) -> Run {
    let target = settings(1, address).targets.remove(0);
    let time_out = target.settings.attempt_timeout;
    let backend =
        Backend::new(target.settings.method, target.url, time_out, time_out).expect("there is an HTTP client");
    let backend = Arc::new(backend);
    callers(move || {
        let backend = Arc::clone(&backend);
        async move {
            match tokio::time::timeout(time_out, backend.call()).await {
                Ok(Ok(_)) => Came::Answer,
                Ok(Err(_)) | Err(_) => Came::Failure,
            }
        }
    })
    .await
}

async fn client(attempts: u32, address: SocketAddr) -> Run {
    let (clock, metrics) = (Clock::start(), Metrics::default().target("backend"));
    let target = settings(attempts, address).targets.remove(0);
    let Followed { breaker, newest } = Followed::new(&target, Uuid::nil(), metrics.clone(), clock);
    let how = target.settings;
    let backend = Backend::new(how.method.clone(), target.url, how.attempt_timeout, how.keep_alive);
    let backend = Arc::new(backend.expect("there is an HTTP client"));
    let call = move || {
        let backend = Arc::clone(&backend);
        async move { backend.call().await }
    };
    let caller = Arc::new(Caller {
        plan: how.plan(),
        budget: how.budget(),
        fallback: how.fallback(),
        attempts: Attempts { call, breaker: Arc::clone(&breaker), timeout: how.attempt_timeout, clock, metrics },
        random: fastrand::f64,
    });
    let told = Arc::clone(&breaker);
    let timer = tokio::spawn(async move { half_open_in_time(&told, clock, newest).await });

    let calling = Arc::clone(&caller);
    let mut run = callers(move || {
        let caller = Arc::clone(&calling);
        async move {
            match caller.tick().await {
                Outcome::Answered(_) => Came::Answer,
                Outcome::Failed(_) | Outcome::DeadlineExceeded => Came::Failure,
                Outcome::NotPermitted(_) => Came::Refusal,
            }
        }
    })
    .await;
    // The backend lives at last: one more call closes the breaker, unless a permit is out for ever.
    let end = Instant::now() + Duration::from_secs(10);
    while breaker.state() != State::Closed && Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
        let _ = caller.tick().await;
    }
    timer.abort();
    let CallCounts { permitted, success, failure, ignored, .. } = breaker.calls();
    run.stuck = u64::from(breaker.state() != State::Closed || permitted != success + failure + ignored);
    run
}

/// What came of one call.
enum Came {
    Answer,
    Failure,
    Refusal,
}

/// Calls by [`CALLERS`] at once until the round is over, and waits for the calls in flight.
async fn callers<F: Future<Output = Came> + Send>(call: impl Fn() -> F + Clone + Send + 'static) -> Run {
    let end = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut run = Run::default();
                while Instant::now() < end {
                    run.started += 1;
                    let began = Instant::now();
                    match call().await {
                        Came::Answer => run.answered.push(began.elapsed()),
                        Came::Failure => run.failed += 1,
                        Came::Refusal => {
                            run.refused += 1;
                            sleep(REFUSED).await;
                        }
                    }
                }
                run
            })
        })
        .collect();
    let mut sum = Run::default();
    for task in tasks {
        sum.add(task.await.expect("a caller does not panic"));
    }
    sum
}
