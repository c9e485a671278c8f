//! Ticks, retries and deadlines in virtual time, with a script in the place of the HTTP call.

use std::{
    collections::VecDeque,
    future::pending,
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use breakwater_breaker::{
    Breaker, Policy, Settings,
    State::{Closed, HalfOpen, Open},
};
use breakwater_client::{
    attempt::Attempts,
    caller::{Caller, Outcome, Plan},
    clock::Clock,
    fallback::{Fallback, Given},
    http::{Answer, Failure},
    metrics::{Metrics, text},
    retry,
};
use reqwest::StatusCode;
use tokio::time::timeout;

/// What the calls do, one after the other: how long they take in milliseconds, and what they bring.
type Script = Vec<(u64, Result<Answer, Failure>)>;
type Call = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

const NEVER: u64 = 1_000_000;

fn good() -> Result<Answer, Failure> {
    Ok(Answer { status: StatusCode::OK, body: String::new() })
}

fn refused() -> Result<Answer, Failure> {
    Err(Failure::Connect)
}

/// Time passes by `millis`, which in virtual time it does at once.
async fn pass(millis: u64) {
    let _ = timeout(Duration::from_millis(millis), pending::<()>()).await;
}

/// A caller with the default settings and so many `attempts` a tick, that always draws the longest delay.
fn caller(attempts: u32, script: Script) -> Caller<impl Fn() -> Call, fn() -> f64> {
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let call = move || -> Call {
        let (millis, result) = script.lock().unwrap().pop_front().expect("no more calls than scripted");
        Box::pin(async move {
            pass(millis).await;
            result
        })
    };
    let clock = Clock::start();
    let breaker = Arc::new(Breaker::builder("backend").clock(clock).build());
    let [retry_base, retry_cap] = [100, 500].map(Duration::from_millis);
    let three_seconds = Duration::from_secs(3);
    Caller {
        attempts: Attempts {
            call,
            breaker,
            timeout: Duration::from_secs(2),
            clock,
            metrics: Metrics::default().target("backend"),
        },
        plan: Plan { interval: three_seconds, deadline: three_seconds, attempts, retry_base, retry_cap },
        budget: retry::Budget::new(0.2, 10),
        fallback: Fallback::default(),
        random: || 1.0,
    }
}

fn failed(status: StatusCode) -> Result<Answer, Failure> {
    Err(Failure::Status { status, retry_after: None })
}

fn busy_for(seconds: u64) -> Result<Answer, Failure> {
    let retry_after = Some(Duration::from_secs(seconds));
    Err(Failure::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry_after })
}

#[tokio::test(start_paused = true)]
async fn a_tick_retries_what_fits_into_its_deadline() {
    let timed_out = Outcome::Failed(Failure::Timeout);
    for (name, attempts, script, outcome, millis, counts) in [
        ("an answer needs no retry", 2, vec![(5, good())], Outcome::Answered(good().unwrap()), 5, (1, 0)),
        (
            "a fast failure is retried after its delay",
            2,
            vec![(0, refused()), (5, good())],
            Outcome::Answered(good().unwrap()),
            105,
            (1, 1),
        ),
        (
            "both attempts count",
            2,
            vec![(0, refused()), (0, failed(StatusCode::BAD_GATEWAY))],
            Outcome::Failed(failed(StatusCode::BAD_GATEWAY).unwrap_err()),
            100,
            (0, 2),
        ),
        ("one attempt means no retry", 1, vec![(0, refused())], Outcome::Failed(Failure::Connect), 0, (0, 1)),
        ("after a time-out no second attempt fits", 2, vec![(NEVER, good())], timed_out.clone(), 2000, (0, 1)),
        (
            "after 900 ms one still fits, after its delay of 100 ms, and may take its whole time-out",
            2,
            vec![(899, refused()), (NEVER, good())],
            timed_out,
            2999,
            (0, 2),
        ),
        ("after 901 ms none does", 2, vec![(901, refused())], Outcome::Failed(Failure::Connect), 901, (0, 1)),
    ] {
        let caller = caller(attempts, script);
        let started = caller.attempts.clock.now().mono();
        assert_eq!(caller.tick().await, outcome, "{name}");
        let took = caller.attempts.clock.now().mono() - started;
        // tokio's timers are right to the millisecond, rounded up.
        let expected = Duration::from_millis(millis);
        assert!((expected..=expected + Duration::from_millis(2)).contains(&took), "{name}: {took:?}");
        let calls = caller.attempts.breaker.calls();
        assert_eq!((calls.success, calls.failure), counts, "{name}");
        assert_eq!((calls.permitted, calls.ignored, calls.not_permitted), (counts.0 + counts.1, 0, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_tick_cannot_open_the_breaker_and_the_failure_that_does_is_not_retried() {
    let caller = caller(2, vec![(0, refused()); 3]);
    caller.tick().await;
    assert_eq!(caller.attempts.breaker.state(), Closed);
    // A fourth call would find the script empty.
    caller.tick().await;
    assert_eq!(caller.attempts.breaker.state(), Open);
    assert_eq!(caller.tick().await, Outcome::NotPermitted(None));
    let calls = caller.attempts.breaker.calls();
    assert_eq!((calls.failure, calls.not_permitted), (3, 1), "a retry that would be refused is not tried");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_cut_by_the_deadline_counts_as_neither_and_gives_its_permit_back() {
    let mut caller = caller(1, vec![(0, refused()), (0, refused()), (0, refused()), (NEVER, good()), (0, good())]);
    for _ in 0..3 {
        caller.tick().await;
    }
    pass(10_000).await;
    let breaker = Arc::clone(&caller.attempts.breaker);
    breaker.tick();
    assert_eq!(breaker.state(), HalfOpen);

    caller.plan.deadline = Duration::from_secs(1);
    assert_eq!(caller.tick().await, Outcome::DeadlineExceeded);
    assert_eq!((breaker.state(), breaker.calls().ignored), (HalfOpen, 1));
    assert_eq!(breaker.consecutive_failures(), 3);

    caller.plan.deadline = Duration::from_secs(3);
    assert_eq!(caller.tick().await, Outcome::Answered(good().unwrap()), "the next tick is the trial");
    assert_eq!(breaker.state(), Closed);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_last_as_long_as_its_call_fails_by_its_own_time_out() {
    // A delay of 100.5 ms is over at 101 ms, as timers count milliseconds: half a millisecond is missing at the end.
    for (delay, attempts, script) in
        [(0, 1, vec![(NEVER, good())]), (100_500, 2, vec![(0, refused()), (NEVER, good())])]
    {
        let mut caller = caller(attempts, script);
        let delay = Duration::from_micros(delay);
        (caller.plan.retry_base, caller.attempts.timeout) = (delay, Duration::from_secs(3) - delay);
        assert_eq!(caller.tick().await, Outcome::Failed(Failure::Timeout), "{attempts} attempts");
        let calls = caller.attempts.breaker.calls();
        assert_eq!((calls.failure, calls.ignored), (attempts.into(), 0), "each told the breaker how it went");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_counts_as_neither() {
    let caller = caller(1, vec![(NEVER, good())]);
    assert!(timeout(Duration::from_millis(500), caller.run()).await.is_err());
    let calls = caller.attempts.breaker.calls();
    assert_eq!((calls.permitted, calls.ignored, calls.success, calls.failure), (1, 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn ticks_that_were_missed_are_skipped() {
    // The first call takes until 7 s: the ticks of 3 s and 6 s are over, the next one is that of 9 s.
    let mut caller = caller(1, vec![(7_000, good()), (0, good()), (0, good())]);
    caller.attempts.timeout = Duration::from_secs(60);
    caller.plan.deadline = Duration::from_secs(60);
    let breaker = Arc::clone(&caller.attempts.breaker);
    assert!(timeout(Duration::from_millis(8_900), caller.run()).await.is_err());
    assert_eq!(breaker.calls().permitted, 2, "the tick of 3 s comes late, at 7 s; that of 6 s is skipped");
}

#[tokio::test(start_paused = true)]
async fn retries_are_measured() {
    let metrics = Metrics::default();
    let mut caller = caller(2, vec![(0, refused()), (400, good()), (5, good())]);
    caller.attempts.metrics = metrics.target("backend");
    caller.tick().await;
    caller.tick().await;
    let text = text(&metrics.registry(vec![Arc::clone(&caller.attempts.breaker)]));
    for line in [
        r#"breakwater_client_retries_total{breaker="backend"} 1"#,
        r#"breakwater_client_retry_duration_seconds_count{breaker="backend"} 1"#,
        // 100 ms of delay and 400 ms of the second attempt.
        r#"breakwater_client_retry_duration_seconds_bucket{le="0.25",breaker="backend"} 0"#,
        r#"breakwater_client_retry_duration_seconds_bucket{le="1.0",breaker="backend"} 1"#,
        r#"breakwater_client_tick_duration_seconds_count{breaker="backend",outcome="success"} 2"#,
        r#"breakwater_client_tick_duration_seconds_bucket{le="0.01",breaker="backend",outcome="success"} 1"#,
    ] {
        assert!(text.lines().any(|said| said == line), "{line} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_floor_that_must_fit_the_deadline() {
    for (seconds, millis, retries, denied) in [(0, 105, 1, 0), (1, 1005, 1, 0), (2, 0, 0, 1), (u64::MAX, 0, 0, 1)] {
        let metrics = Metrics::default();
        let mut caller = caller(2, vec![(0, busy_for(seconds)), (5, good())]);
        caller.attempts.metrics = metrics.target("backend");
        let started = caller.attempts.clock.now().mono();
        caller.tick().await;
        let took = (caller.attempts.clock.now().mono() - started).as_millis();
        assert!((millis..=millis + 2).contains(&took), "Retry-After {seconds}: {took} ms");
        let text = text(&metrics.registry(vec![]));
        for (name, count) in
            [("retries_total{", retries), (r#"retries_denied_total{breaker="backend",reason="deadline"#, denied)]
        {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            assert!(line.ends_with(&format!(" {count}")), "Retry-After {seconds}: {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_share_of_calls_beside_the_reserve() {
    let cases =
        [(0.0, 0, 0), (0.1, 0, 4), (0.3, 0, 12), (0.6, 0, 24), (0.99, 0, 39), (1.0, 0, 40), (0.0, 1, 10), (0.1, 1, 14)];
    for (share, reserve, expected) in cases {
        let mut caller = caller(2, vec![(0, refused()); 80]);
        caller.budget = retry::Budget::new(share, reserve);
        caller.plan.retry_base = Duration::ZERO;
        let never = Settings::default().with_policy(Policy::ConsecutiveFailures(NonZeroU64::MAX));
        caller.attempts.breaker = Arc::new(Breaker::new("backend", never));
        for _ in 0..40 {
            caller.tick().await;
        }
        let attempts = caller.attempts.breaker.calls().failure;
        assert_eq!(attempts - 40, expected, "{share} of the calls, and {reserve} a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_gets_the_last_good_answer_with_its_age() {
    let metrics = Metrics::default();
    let answer = |body: &str| Answer { status: StatusCode::OK, body: body.to_owned() };
    let script = vec![(0, Ok(answer("old"))), (0, Ok(answer("new"))), (0, refused()), (0, refused()), (0, refused())];
    let mut caller = caller(1, script);
    caller.attempts.metrics = metrics.target("backend");
    caller.fallback = Fallback::new(true, Some("stated".to_owned()));
    for _ in 0..5 {
        assert!(!matches!(caller.tick().await, Outcome::NotPermitted(_)), "only refused calls get it");
    }
    pass(4_000).await;
    let Outcome::NotPermitted(Some(Given::LastGood { body, age })) = caller.tick().await else { panic!("refused") };
    assert_eq!((body.as_str(), age.as_secs()), ("new", 4));
    let text = text(&metrics.registry(vec![]));
    assert!(text.contains(r#"breakwater_client_fallbacks_total{breaker="backend",kind="last_good"} 1"#), "{text}");
    assert!(text.contains(r#"breakwater_client_fallbacks_total{breaker="backend",kind="default"} 0"#), "{text}");
}
