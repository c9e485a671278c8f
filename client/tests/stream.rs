//! `GET /status/stream` as a browser reads it.

mod common;

use common::{PATIENCE, TestBackend, TestClient, get_with};
use serde_json::Value;
use tokio::time::timeout;

/// Fast ticks, patient attempts, short outages: only faults that a test makes are failures.
const FAST: &str = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 100ms --attempts 1";

/// One event.
#[derive(Debug)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Event {
    fn told(&self) -> (&str, u64, &str) {
        let text = |name: &str| self.data[name].as_str().unwrap_or_default();
        (text("breaker"), self.data["seq"].as_u64().unwrap_or_default(), text("to"))
    }
}

/// A connection of a browser.
struct Reader {
    response: reqwest::Response,
    unread: String,
}

impl Reader {
    async fn open(client: &TestClient, query: &str, last_event_id: Option<&str>) -> Self {
        let headers: Vec<_> = last_event_id.map(|id| ("last-event-id", id)).into_iter().collect();
        let response = get_with(client.address, &format!("/status/stream{query}"), &headers).await;
        assert_eq!(response.status(), 200, "{query} {last_event_id:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, unread: String::new() }
    }

    /// The next event; none at the stream's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    let value = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.unwrap_or_default().trim_start().to_owned()
                };
                let (kind, id, data) = (field("event"), field("id"), field("data"));
                self.unread = rest.to_owned();
                if !data.is_empty() {
                    return Some(Event { kind, id, data: serde_json::from_str(&data).unwrap() });
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event in time").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

#[tokio::test]
async fn an_outage_is_streamed_and_resumed_where_the_reader_was() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let mut reader = Reader::open(&client, "", None).await;
    assert_eq!(reader.take(1).await[0].told(), ("backend", 1, "Closed"));

    backend.answer(500);
    let outage = reader.take(2).await;
    assert_eq!(outage[0].told(), ("backend", 2, "Open"));
    assert_eq!(outage[0].kind, "transition");
    assert_eq!(outage[0].data["cause"]["kind"], "ConsecutiveFailures");
    assert_eq!((&outage[0].id, outage[1].told()), (&format!("{}:2", client.epoch), ("backend", 3, "HalfOpen")));
    drop(reader);

    // The connection broke after the second event: the browser says so, whatever the address said.
    let mut resumed = Reader::open(&client, &format!("?since={}", client.cursor()), Some(&outage[0].id)).await;
    assert_eq!(resumed.take(1).await[0].told(), ("backend", 3, "HalfOpen"), "each once");
}

#[tokio::test]
async fn a_reader_of_another_process_is_told_and_gets_everything() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let mut reader = Reader::open(&client, "", Some("00000000-0000-0000-0000-000000000009:5")).await;
    let events = reader.take(2).await;
    assert_eq!((events[0].kind.as_str(), &events[0].data["epoch"]), ("restart", &client.epoch.to_string().into()));
    assert_eq!(
        (events[0].id.as_str(), events[1].told()),
        (format!("{}:0", client.epoch).as_str(), ("backend", 1, "Closed"))
    );
}

#[tokio::test]
async fn several_breakers_share_a_stream_or_have_one_each() {
    let (a, b) = (TestBackend::start(), TestBackend::start());
    let stays_open = "--interval 20ms --deadline 10s --attempt-timeout 5s --open-for 1h --attempts 1";
    let client = TestClient::start_with(&format!("--target a={} --target b={} {stays_open}", a.url(), b.url())).await;
    let (mut all, mut only) = (Reader::open(&client, "", None).await, Reader::open(&client, "?breaker=b", None).await);
    assert_eq!(all.take(2).await.iter().map(Event::told).collect::<Vec<_>>(), [("a", 1, "Closed"), ("b", 1, "Closed")]);
    assert_eq!(only.take(1).await[0].told(), ("b", 1, "Closed"));

    a.answer(500);
    let opened = all.take(1).await;
    assert_eq!((opened[0].told(), &opened[0].id), (("a", 2, "Open"), &format!("{}:2.1", client.epoch)));
    b.answer(500);
    assert_eq!(all.take(1).await[0].told(), ("b", 2, "Open"));
    let opened = only.take(1).await;
    assert_eq!((opened[0].told(), &opened[0].id), (("b", 2, "Open"), &format!("{}:2", client.epoch)));
}

#[tokio::test]
async fn a_stream_ends_with_the_service_and_is_no_poll_that_it_waits_for() {
    let backend = TestBackend::start();
    let mut client = TestClient::start(&backend.url(), FAST).await;
    let mut reader = Reader::open(&client, "", None).await;
    reader.take(1).await;
    client.shut_down();
    assert!(reader.next().await.is_none());
    client.ended().await;
}

#[tokio::test]
async fn a_wrong_position_is_refused() {
    let backend = TestBackend::start();
    let client = TestClient::start(&backend.url(), FAST).await;
    let ahead = format!("{}:99", client.epoch);
    for (id, said) in [("42", "write EPOCH:SEQ"), (ahead.as_str(), "ahead of the newest transition")] {
        let answer = get_with(client.address, "/status/stream", &[("last-event-id", id)]).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains(said));
    }
    assert_eq!(client.get("/status/stream?breaker=c").await.status(), 404);
}
