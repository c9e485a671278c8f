//! The whole client against the real backend on loopback, watched by long polls.

mod common;

use std::time::Duration;

use breakwater_breaker::{
    Cause,
    State::{self, Closed, HalfOpen, Open},
    Unit,
};
use common::{HANG, PATIENCE, TestBackend, TestClient};
use tokio::{net::TcpListener, time::timeout};

/// Fast ticks, patient attempts: only faults that a test makes are failures.
const FAST: &str = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 100ms --attempts 1";

/// The same without an open time, for tests that set their own.
const UNTIL_OPEN: &str = "--interval 20ms --deadline 10s --attempt-timeout 5s --attempts 1";

fn pairs(transitions: &[breakwater_breaker::Transition]) -> Vec<(Option<State>, State)> {
    transitions.iter().map(|transition| (transition.from, transition.to)).collect()
}

#[tokio::test]
async fn an_outage_opens_and_recovery_closes() {
    let mut backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let mut cursor = client.cursor();
    client.until_status("a success", |report| report.calls.success > 0).await;

    // However long the outage is: it opens, and trials fail, each after the whole open time.
    backend.kill().await;
    client.until_status("a trial that failed", |report| report.transitions.last_seq >= 4).await;
    backend.revive();
    let story = client.until(Closed, &mut cursor).await;

    let steps = pairs(&story);
    let [opened, trials @ .., half_open, closed] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(*opened, (Some(Closed), Open));
    assert!(trials.chunks(2).all(|trial| trial == [(Some(Open), HalfOpen), (Some(HalfOpen), Open)]), "{steps:?}");
    assert_eq!((*half_open, *closed), ((Some(Open), HalfOpen), (Some(HalfOpen), Closed)));
    assert_eq!(
        story[0].cause,
        Cause::ConsecutiveFailures { count: 3, unit: Unit::Attempt, last_error: "connect".into() }
    );
    assert_eq!(story[1].cause, Cause::OpenTimeElapsed);
    assert_eq!(story[2].cause, Cause::TrialFailed { last_error: "connect".into() });
    assert_eq!(story.last().unwrap().cause, Cause::TrialSucceeded);
    assert!(story[1].mono_nanos - story[0].mono_nanos >= 100_000_000, "it stays open for its time");

    let all = client.status("").await.transitions;
    assert!(all.items.iter().zip(1..).all(|(transition, seq)| transition.seq == seq), "{all:?}");
    assert_eq!((all.gap, all.dropped, all.epoch_changed), (None, 0, false));
}

#[tokio::test]
async fn the_client_is_ready_and_measured_while_open() {
    let backend = TestBackend::start();
    backend.answer(503);
    let args = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 1h --attempts 2 --retry-cap 100ms";
    let client = TestClient::start(&backend.url(), args).await;
    client.until(Open, &mut client.cursor()).await;
    let refused = client.until_status("a refused call", |report| report.calls.not_permitted > 0).await;

    assert_eq!(refused.state, Open);
    assert!(refused.half_open_at.is_some() && refused.first_failure_at.is_some());
    assert_eq!((refused.calls.permitted, refused.calls.failure), (3, 3));
    assert_eq!(backend.requests(), 3, "each attempt is one request, and counted once");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path).await.status(), 200);
    }
    let metrics = client.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"breakwater_client_breaker_state{breaker="backend",state="Open"} 1"#,
        r#"breakwater_client_breaker_state{breaker="backend",state="Closed"} 0"#,
        r#"breakwater_client_breaker_calls_total{breaker="backend",outcome="failure"} 3"#,
        r#"breakwater_client_breaker_transitions_total{breaker="backend",from="Closed",to="Open"} 1"#,
        r#"breakwater_client_breaker_transitions_total{breaker="backend",from="HalfOpen",to="Closed"} 0"#,
        r#"breakwater_client_attempt_duration_seconds_count{breaker="backend",outcome="failure"} 3"#,
        r#"breakwater_client_tick_duration_seconds_count{breaker="backend",outcome="failure"} 2"#,
        r#"breakwater_client_retries_total{breaker="backend"} 1"#,
        r#"breakwater_client_retry_duration_seconds_count{breaker="backend"} 1"#,
    ] {
        assert!(metrics.lines().any(|said| said == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn what_counts_as_a_failure() {
    for (mode, last_error) in [(500, "status 500"), (408, "status 408"), (429, "status 429"), (HANG, "timeout")] {
        let backend = TestBackend::start();
        backend.answer(mode);
        let args = "--interval 50ms --deadline 10s --attempt-timeout 50ms --open-for 1h --attempts 1";
        let client = TestClient::start(&backend.url(), args).await;
        let opened = client.until(Open, &mut client.cursor()).await;
        let Cause::ConsecutiveFailures { last_error: said, .. } = &opened[0].cause else { panic!("{opened:?}") };
        assert_eq!(said, last_error);
        assert_eq!(backend.requests(), 3, "{last_error}: nothing below the breaker makes attempts of its own");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            // Dropped with the request unread, it is reset.
            let _ = connection.readable().await;
        }
    });
    let client = TestClient::start(&url, FAST).await;
    let opened = client.until(Open, &mut client.cursor()).await;
    assert!(opened[0].cause.to_string().ends_with("(reset)"), "{opened:?}");
}

#[tokio::test]
async fn other_answers_mean_that_the_backend_lives() {
    for mode in [404, 302, 401] {
        let backend = TestBackend::start();
        backend.answer(mode);
        let client = TestClient::start(&backend.url(), FAST).await;
        let report = client.until_status("five successes", |report| report.calls.success >= 5).await;
        assert_eq!((report.state, report.calls.failure), (Closed, 0), "{mode}");
        assert!(backend.requests() <= report.calls.permitted + 5, "{mode}: no redirect is followed");
    }
}

#[tokio::test]
async fn the_end_releases_polls_and_waits_until_the_last_transition_is_seen() {
    let backend = TestBackend::start();
    let mut client = TestClient::start(&backend.url(), &format!("{UNTIL_OPEN} --open-for 1h")).await;
    let cursor = client.cursor();
    assert_eq!(client.status("").await.state, Closed);

    // The breaker opens while nobody polls.
    backend.answer(500);
    timeout(PATIENCE, async {
        let open = r#"state="Open"} 1"#;
        while !client.get("/metrics").await.text().await.unwrap().contains(open) {}
    })
    .await
    .expect("it opens");
    client.shut_down();
    let unseen = timeout(Duration::from_millis(200), &mut client.service).await;
    assert!(unseen.is_err(), "it waits for a poll: {unseen:?}");

    let calls = client.status(&format!("?since={cursor}&wait=30s")).await;
    assert_eq!(calls.transitions.items.last().unwrap().to, Open);
    client.ended().await;
}

#[tokio::test]
async fn the_end_cuts_a_waiting_poll_short() {
    let backend = TestBackend::start();
    let mut client = TestClient::start(&backend.url(), FAST).await;
    let requests = backend.requests();
    let url = format!("http://{}/status?since={}&wait=30s", client.address, client.cursor());
    let polls: Vec<_> = (0..3).map(|_| tokio::spawn(reqwest::get(url.clone()))).collect();
    client.until_status("calls", |report| report.calls.success > requests + 5).await;
    client.shut_down();
    for poll in polls {
        let answer = timeout(PATIENCE / 2, poll).await.expect("released").unwrap().unwrap();
        assert_eq!(answer.status(), 200);
    }
    client.ended().await;
}

#[tokio::test]
async fn a_breaker_of_rates_opens_by_its_rate_and_not_by_failures_in_a_row() {
    let backend = TestBackend::start();
    let args = "--policy rates --window 20 --minimum-calls 10 --failure-rate 50% --half-open-calls 2";
    let client = TestClient::start(&backend.url(), &format!("{FAST} {args}")).await;
    client.until_status("five successes", |report| report.calls.success >= 5).await;
    backend.answer(500);
    let mut cursor = client.cursor();
    let opened = client.until(Open, &mut cursor).await;
    assert_eq!(opened[0].cause.kind(), "FailureRate", "{opened:?}");
    let calls = client.status("").await.calls;
    assert!(calls.failure >= 5 && calls.failure >= calls.success.min(10), "{calls:?}");
    backend.answer(0);
    client.until(Closed, &mut cursor).await;
}
