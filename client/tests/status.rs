//! What `/status` tells: of one breaker or several, at once or at the first news, with its ETag.

mod common;

use breakwater_breaker::{
    Cursor,
    State::{Closed, Open},
    wire::StatusReport,
};
use common::{PATIENCE, TestBackend, TestClient, get_with};
use tokio::time::timeout;
use uuid::Uuid;

/// Fast ticks, patient attempts: only faults that a test makes are failures.
const FAST: &str = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 100ms --attempts 1";

/// The same, and what opens stays open.
const STAYS_OPEN: &str = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 1h --attempts 1";

#[tokio::test]
async fn a_long_poll_answers_at_the_first_new_transition_and_not_before() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let poll =
        tokio::spawn(reqwest::get(format!("http://{}/status?since={}&wait=30s", client.address, client.cursor())));
    client.until_status("ten successes", |report| report.calls.success >= 10).await;
    assert!(!poll.is_finished(), "calls are no transitions");

    backend.answer(500);
    let answer = timeout(PATIENCE / 2, poll).await.expect("it answers before its wait is over").unwrap().unwrap();
    let report: breakwater_breaker::wire::StatusReport = answer.json().await.unwrap();
    let transitions = &report.breakers[0].transitions;
    assert_eq!((transitions.items[0].seq, transitions.items[0].to), (2, Open));
}

#[tokio::test]
async fn a_long_poll_without_news_ends_with_its_wait_where_it_began() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let cursor = client.cursor();
    let transitions = client.status(&format!("?since={cursor}&wait=50ms")).await.transitions;
    assert_eq!((transitions.items.len(), transitions.next), (0, cursor));
}

#[tokio::test]
async fn a_cursor_of_another_process_gets_everything_and_is_told() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let other = Cursor { epoch: Uuid::from_u128(8), seq: 99 };
    let transitions = client.status(&format!("?since={other}&wait=30s")).await.transitions;
    assert!(transitions.epoch_changed);
    assert_eq!((transitions.items[0].seq, transitions.items[0].from), (1, None));
}

#[tokio::test]
async fn a_wrong_query_is_refused_with_what_to_write_instead() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let ahead = Cursor { seq: 99, ..client.cursor() };
    for (query, said) in [
        ("?since=42".to_owned(), "write EPOCH:SEQ"),
        ("?since=".to_owned(), "write EPOCH:SEQ"),
        (format!("?since={ahead}"), "ahead of the newest transition"),
        ("?wait=25".to_owned(), "like 500ms, 10s or 1m30s"),
        ("?wait=-1s".to_owned(), "like 500ms, 10s or 1m30s"),
        ("?wait=1s&wait=2s".to_owned(), "write ?since=EPOCH:SEQ&wait=25s"),
    ] {
        let answer = client.get(&format!("/status{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        let refusal: serde_json::Value = answer.json().await.unwrap();
        assert!(refusal["error"].as_str().unwrap().contains(said), "{query}: {refusal}");
    }
    let answer = client.get("/status").await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_report_says_whose_it_is() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), &format!("{FAST} --pod-uid pod-7 --breaker-name shop")).await;
    let report: breakwater_breaker::wire::StatusReport = client.get("/status").await.json().await.unwrap();
    assert_eq!((report.instance.epoch, report.instance.pod_uid.as_deref()), (client.epoch, Some("pod-7")));
    assert_eq!(report.breakers.iter().map(|breaker| breaker.name.as_str()).collect::<Vec<_>>(), ["shop"]);
}

/// A client of two backends, of which the first fails.
async fn two() -> (TestBackend, TestBackend, TestClient) {
    let (good, bad) = (TestBackend::start(), TestBackend::start());
    bad.answer(500);
    let client =
        TestClient::start_with(&format!("--target b={} --target a={} {STAYS_OPEN}", bad.url(), good.url())).await;
    client.until_breaker("b", "open", |report| report.state == Open).await;
    (good, bad, client)
}

#[tokio::test]
async fn each_target_has_a_breaker_of_its_own() {
    let (_good, _bad, client) = two().await;
    client.until_breaker("a", "five successes", |report| report.calls.success >= 5).await;
    let report: StatusReport = client.get("/status").await.json().await.unwrap();
    let told: Vec<_> = report.breakers.iter().map(|one| (one.name.as_str(), one.state, one.calls.failure)).collect();
    assert_eq!(told, [("b", Open, 3), ("a", Closed, 0)]);
    let metrics = client.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"breakwater_client_breaker_state{breaker="a",state="Closed"} 1"#,
        r#"breakwater_client_breaker_state{breaker="b",state="Open"} 1"#,
        r#"breakwater_client_breaker_transitions_total{breaker="a",from="Closed",to="Open"} 0"#,
        r#"breakwater_client_breaker_transitions_total{breaker="b",from="Closed",to="Open"} 1"#,
    ] {
        assert!(metrics.lines().any(|said| said == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn one_of_several_breakers_is_told_alone_and_waited_for_alone() {
    let (good, _bad, client) = two().await;
    let cursor = client.cursor();
    let report: StatusReport = client.get(&format!("/status?breaker=b&since={cursor}")).await.json().await.unwrap();
    let [b] = &report.breakers[..] else { panic!("{report:?}") };
    assert_eq!((b.name.as_str(), b.transitions.items[0].seq, b.transitions.items.len()), ("b", 2, 1));

    // The cursor is that of the breaker: what happened to b is no news of a.
    let url = format!("http://{}/status?breaker=a&since={cursor}&wait=30s", client.address);
    let poll = tokio::spawn(reqwest::get(url));
    let calls = client.until_breaker("a", "a call", |_| true).await.calls.success;
    client.until_breaker("a", "five more", |report| report.calls.success >= calls + 5).await;
    assert!(!poll.is_finished());
    good.answer(500);
    let answer = timeout(PATIENCE / 2, poll).await.expect("it answers at a's transition").unwrap().unwrap();
    let report: StatusReport = answer.json().await.unwrap();
    assert_eq!((report.breakers.len(), report.breakers[0].state), (1, Open));

    let answer = client.get("/status?breaker=c").await;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.unwrap().contains("write one of b, a"));
}

#[tokio::test]
async fn the_position_of_all_breakers_is_their_numbers_in_turn() {
    let (good, _bad, client) = two().await;
    let epoch = client.epoch;
    let one_for_two = client.get(&format!("/status?since={}", client.cursor())).await;
    assert_eq!(one_for_two.status(), 400);
    assert!(one_for_two.text().await.unwrap().contains("add &breaker=NAME, or write EPOCH:SEQ.SEQ"));

    let report: StatusReport = client.get(&format!("/status?since={epoch}:1.0")).await.json().await.unwrap();
    let told: Vec<Vec<_>> =
        report.breakers.iter().map(|one| one.transitions.items.iter().map(|item| item.seq).collect()).collect();
    assert_eq!(told, [vec![2], vec![1]]);

    let poll = tokio::spawn(reqwest::get(format!("http://{}/status?since={epoch}:2.1&wait=30s", client.address)));
    good.answer(500);
    let answer = timeout(PATIENCE / 2, poll).await.expect("it answers at any news").unwrap().unwrap();
    assert_eq!(answer.headers()["etag"], format!("W/\"{epoch}:2.2\""));
}

#[tokio::test]
async fn the_etag_changes_with_each_transition_and_nothing_else() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), STAYS_OPEN).await;
    let calls = client.until_status("a success", |report| report.calls.success > 0).await.calls.success;
    let first = client.get("/status").await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("W/\"{}\"", client.cursor()));

    client.until_status("more calls", |report| report.calls.success > calls + 3).await;
    let known = async || get_with(client.address, "/status", &[("if-none-match", &tag)]).await;
    let answer = known().await;
    assert_eq!((answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.text().await.unwrap(), "");

    backend.answer(500);
    client.until(Open, &mut client.cursor()).await;
    let answer = known().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["etag"], format!("W/\"{}:2\"", client.epoch));
}

#[tokio::test]
async fn the_page_holds_all_that_it_needs() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let answer = client.get("/").await;
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self'"), "{policy}");
    let page = answer.text().await.unwrap();
    for outside in ["src=", "@import", "url(", "http://", "https://", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
