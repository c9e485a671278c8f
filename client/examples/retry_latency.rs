//! What the one retry costs and what it saves: calls of a backend that fails every tenth request, with and without it.
//!
//! `cargo run --release -p breakwater-client --example retry_latency`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use breakwater_breaker::Breaker;
use breakwater_client::{
    attempt::Attempts,
    caller::{Caller, Outcome, Plan},
    clock::Clock,
    fallback::Fallback,
    http::Backend,
    metrics::Metrics,
    retry,
};
use reqwest::Method;
use tokio::net::TcpListener;

const CALLS: usize = 2000;
const EVERY: u64 = 10;

#[tokio::main]
async fn main() {
    println!("| attempts | calls failed | p50 | p90 | p99 | longest |\n|---|---|---|---|---|---|");
    for attempts in [1, 2] {
        let (mut took, failed) = measure(attempts).await;
        took.sort();
        let at = |share: usize| took[(took.len() - 1) * share / 100];
        let percent = 100.0 * failed as f64 / CALLS as f64;
        println!(
            "| {attempts} | {percent:.1} % | {:.2?} | {:.2?} | {:.2?} | {:.2?} |",
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
}

/// How long each call took, and how many failed after all their attempts.
async fn measure(attempts: u32) -> (Vec<Duration>, usize) {
    let requests = Arc::new(AtomicU64::new(0));
    let answer = move || {
        let fails = requests.fetch_add(1, Relaxed) % EVERY == EVERY - 1;
        std::future::ready(if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/data", listener.local_addr().expect("it is bound"));
    tokio::spawn(axum::serve(listener, Router::new().route("/data", get(answer))).into_future());

    let (clock, timeout) = (Clock::start(), Duration::from_secs(2));
    let backend = Backend::new(Method::GET, url.parse().expect("it is a URL"), timeout, timeout)
        .expect("there is an HTTP client");
    let breaker = Arc::new(Breaker::builder("backend").clock(clock).build());
    let plan = Plan {
        interval: Duration::from_secs(3),
        deadline: Duration::from_secs(3),
        attempts,
        retry_base: Duration::from_millis(100),
        retry_cap: Duration::from_millis(500),
    };
    let caller = Caller {
        plan,
        attempts: Attempts {
            call: || backend.call(),
            breaker,
            timeout,
            clock,
            metrics: Metrics::default().target("backend"),
        },
        budget: retry::budget(1.0, 0),
        fallback: Fallback::default(),
        random: fastrand::f64,
    };
    let (mut took, mut failed) = (Vec::with_capacity(CALLS), 0);
    for _ in 0..CALLS {
        let started = Instant::now();
        failed += usize::from(!matches!(caller.tick().await, Outcome::Answered(_)));
        took.push(started.elapsed());
    }
    (took, failed)
}
