//! The client under load of its own, on loopback, against a backend that dies and comes back: is a call lost, does a
//! half-open permit stay out, and what do breaker and retries add to the time of a call?
//!
//! `cargo run --release -p breakwater-client --example load` (about a minute and a half); with a number of seconds it
//! loads each way for as long.
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
/// How long the backend is dead, and how long it lives in between.
const DEAD: Duration = Duration::from_millis(700);
const ALIVE: Duration = Duration::from_millis(2300);
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
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse());
    let Ok(seconds) = seconds else {
        eprintln!("error: write a number of seconds, like 10");
        return ExitCode::from(2);
    };
    let load = Duration::from_secs(seconds);
    println!("{CALLERS} callers, {load:?} each way; one request in {FAILS_EVERY} fails.\n");
    println!("| backend | client | calls | answered | failed | refused | lost | p50 | p90 | p99 | p99.9 |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut sound = true;
    for dies in [false, true] {
        let mut bare = None;
        for way in [Way::Bare, Way::Client(1), Way::Client(2)] {
            let run = Runtime::new().expect("threads can be started").block_on(measure(way, dies, load));
            let times = run.times();
            println!("{}", run.row(way, dies, &times, bare.as_ref()));
            bare.get_or_insert(times);
            sound &= run.is_sound();
        }
    }
    if sound {
        println!("\nNo call is lost, every permit came back, and every breaker is closed again.");
        ExitCode::SUCCESS
    } else {
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
    /// What the breaker says when all is over.
    breaker: Option<(State, CallCounts)>,
}

impl Run {
    fn lost(&self) -> i128 {
        i128::from(self.started) - (self.answered.len() as i128 + i128::from(self.failed) + i128::from(self.refused))
    }

    fn is_sound(&self) -> bool {
        let kept = self.breaker.is_none_or(|(state, CallCounts { permitted, success, failure, ignored, .. })| {
            if permitted != success + failure + ignored || state != State::Closed {
                println!(
                    "the breaker is {state}; {permitted} permits, and {success} + {failure} + {ignored} came back"
                );
            }
            permitted == success + failure + ignored && state == State::Closed
        });
        kept && self.lost() == 0
    }

    /// So many milliseconds 50, 90, 99 and 99.9 % of the answered calls took at most.
    fn times(&self) -> [f64; 4] {
        let mut took = self.answered.clone();
        took.sort_unstable();
        let at = |permille: usize| took.get((took.len().max(1) - 1) * permille / 1000).copied().unwrap_or_default();
        [500, 900, 990, 999].map(|permille| at(permille).as_secs_f64() * 1e3)
    }

    /// A row of the table; after each time, what the client adds to it.
    fn row(&self, way: Way, dies: bool, times: &[f64; 4], bare: Option<&[f64; 4]>) -> String {
        let backend = if dies { "dies every 3 s" } else { "lives" };
        let client = match way {
            Way::Bare => "none".to_owned(),
            Way::Client(1) => "breaker, no retry".to_owned(),
            Way::Client(attempts) => format!("breaker, {attempts} attempts"),
        };
        let Self { started, failed, refused, .. } = self;
        let times: Vec<_> = (0..times.len())
            .map(|at| match bare {
                None => format!("{:.2} ms", times[at]),
                Some(bare) => format!("{:.2} ms ({:+.2})", times[at], times[at] - bare[at]),
            })
            .collect();
        let (answered, lost, times) = (self.answered.len(), self.lost(), times.join(" | "));
        format!("| {backend} | {client} | {started} | {answered} | {failed} | {refused} | {lost} | {times} |")
    }
}

/// Loads a backend of its own in one way.
async fn measure(way: Way, dies: bool, load: Duration) -> Run {
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
        Way::Bare => bare(address, load).await,
        Way::Client(attempts) => client(attempts, address, load).await,
    };
    stop.store(true, Relaxed);
    life.await.expect("the backend ends");
    run
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port")
}

/// A backend, with a runtime of its own so that its end closes every connection; it lives when it ends.
fn live_and_die(address: SocketAddr, dies: bool, stop: &AtomicBool) {
    let requests = Arc::new(AtomicU64::new(0));
    let wait = |time: Duration, early: bool| {
        let until = Instant::now() + time;
        while Instant::now() < until && !(early && stop.load(Relaxed)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    while !stop.load(Relaxed) {
        let listener = TcpListener::bind(address).expect("the port is still free");
        listener.set_nonblocking(true).expect("it is a socket");
        let requests = Arc::clone(&requests);
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
        wait(if dies { ALIVE } else { Duration::from_secs(3600) }, true);
        runtime.shutdown_timeout(Duration::from_millis(100));
        if !stop.load(Relaxed) {
            wait(DEAD, false);
        }
    }
}

fn settings(attempts: u32, address: SocketAddr) -> Settings {
    let words = format!("load --backend-url http://{address}/data --attempts {attempts} {SETTINGS}");
    match Task::read(words.split_whitespace()) {
        Ok(Task::Serve(settings)) => *settings,
        other => panic!("the settings are sound: {other:?}"),
    }
}

async fn bare(address: SocketAddr, load: Duration) -> Run {
    let target = settings(1, address).targets.remove(0);
    let time_out = target.settings.attempt_timeout;
    let backend =
        Backend::new(target.settings.method, target.url, time_out, time_out).expect("there is an HTTP client");
    let backend = Arc::new(backend);
    callers(load, move || {
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

async fn client(attempts: u32, address: SocketAddr, load: Duration) -> Run {
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
    let mut run = callers(load, move || {
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
    run.breaker = Some((breaker.state(), breaker.calls()));
    run
}

/// What came of one call.
enum Came {
    Answer,
    Failure,
    Refusal,
}

/// Calls by [`CALLERS`] at once until the time is over, and waits for the calls in flight.
async fn callers<F: Future<Output = Came> + Send>(
    load: Duration,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Run {
    let end = Instant::now() + load;
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
        let run = task.await.expect("a caller does not panic");
        sum.started += run.started;
        sum.failed += run.failed;
        sum.refused += run.refused;
        sum.answered.extend(run.answered);
    }
    sum
}
