//! `GET /status/stream`: the transitions as server-sent events, for browsers.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header::CACHE_CONTROL},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use breakwater_breaker::{
    Transition,
    wire::{Gap, StatusReport},
};
use futures::stream::unfold;
use serde::Serialize;

use super::{
    Chosen, Position, Refusal, Status,
    routes::{StatusQuery, understood},
};

/// Answers `GET /status/stream?breaker=NAME&since=EPOCH:SEQ`; both are optional.
///
/// Events are `transition`, `gap` (transitions that are lost) and `restart` (another process than the reader's). The id
/// of each is the reader's position after it; a browser that reconnects sends it as Last-Event-ID, which then counts in
/// the place of `since`. The stream ends with the service.
pub async fn stream(
    State(status): State<Arc<Status>>,
    query: Result<Query<StatusQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let begin = || {
        let mut query = understood(query)?;
        if let Some(last) = headers.get("last-event-id").and_then(|last| last.to_str().ok()) {
            query.since = Some(last.to_owned());
        }
        let chosen = status.choose(query.breaker.as_deref())?;
        let mut told = Told { status: Arc::clone(&status), chosen, at: query.since()?, events: VecDeque::new() };
        told.read()?;
        Ok::<_, Refusal>(told)
    };
    match begin() {
        Ok(told) => {
            let events =
                unfold(told, async |mut told| told.next().await.map(|event| (Ok::<_, Infallible>(event), told)));
            ([(CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(KeepAlive::default())).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What one reader has been told.
struct Told {
    status: Arc<Status>,
    chosen: Chosen,
    at: Option<Position>,
    events: VecDeque<Event>,
}

impl Told {
    /// The next event; none when the service ends.
    async fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            if self.status.release.is_cancelled() {
                return None;
            }
            if let Some(at) = &self.at {
                self.status.news(&self.chosen, at).await;
            }
            self.read().ok()?;
        }
        self.events.pop_front()
    }

    /// Takes in what is new.
    fn read(&mut self) -> Result<(), Refusal> {
        let report = self.status.copy(&self.chosen, self.at.as_ref())?;
        let (events, at) = events(&report, self.at.take());
        self.events.extend(events.into_iter().map(|(kind, at, said)| {
            // What is told has a data type of ours, which is JSON at all times.
            Event::default().event(kind).id(at.to_string()).json_data(said).unwrap_or_default()
        }));
        self.at = Some(at);
        Ok(())
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Said {
    Restart {
        epoch: uuid::Uuid,
    },
    Gap {
        breaker: String,
        #[serde(flatten)]
        gap: Gap,
    },
    Transition {
        breaker: String,
        #[serde(flatten)]
        transition: Transition,
    },
}

/// The events of a report that was asked for after `since`, oldest first, each with the position after it.
fn events(report: &StatusReport, since: Option<Position>) -> (Vec<(&'static str, Position, Said)>, Position) {
    let epoch = report.instance.epoch;
    let restarted = since.as_ref().is_some_and(|since| since.epoch != epoch);
    let mut at = since.filter(|_| !restarted).unwrap_or(Position { epoch, seqs: vec![0; report.breakers.len()] });
    let mut events = Vec::new();
    if restarted {
        events.push(("restart", at.clone(), Said::Restart { epoch }));
    }
    let mut transitions = Vec::new();
    for (nth, breaker) in report.breakers.iter().enumerate() {
        if let Some(gap) = breaker.transitions.gap {
            at.seqs[nth] = gap.to;
            events.push(("gap", at.clone(), Said::Gap { breaker: breaker.name.clone(), gap }));
        }
        transitions.extend(breaker.transitions.items.iter().map(|item| (nth, &breaker.name, item)));
    }
    // The sort is stable: those of one breaker stay in the order of their numbers.
    transitions.sort_by_key(|(_, _, item)| item.mono_nanos);
    for (nth, breaker, transition) in transitions {
        at.seqs[nth] = transition.seq;
        let said = Said::Transition { breaker: breaker.clone(), transition: transition.clone() };
        events.push(("transition", at.clone(), said));
    }
    (events, at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_lost_is_told_before_what_is_kept_and_breakers_in_the_order_of_time() {
        let epoch = uuid::Uuid::from_u128(7);
        let item = |seq: u64, nanos: u64| {
            json!({"seq": seq, "from": "Open", "to": "HalfOpen", "at": "2026-12-01T09:00:00Z", "monoNanos": nanos,
                   "cause": {"kind": "OpenTimeElapsed"}})
        };
        let breaker = |name: &str, gap: serde_json::Value, items: &[serde_json::Value]| {
            json!({"name": name, "state": "HalfOpen", "consecutiveFailures": 0, "calls": {}, "transitions": {
                "firstSeq": 1, "lastSeq": 9, "capacity": 2, "dropped": 7, "gap": gap, "epochChanged": false,
                "next": format!("{epoch}:9"), "items": items}})
        };
        let report: StatusReport = serde_json::from_value(json!({
            "schema": "v1", "instance": {"epoch": epoch, "startedAt": "2026-12-01T09:00:00Z"},
            "now": {"wall": "2026-12-01T09:00:15Z", "monoNanos": 100},
            "breakers": [
                breaker("a", json!({"from": 4, "to": 7}), &[item(8, 20), item(9, 20)]),
                breaker("b", json!(null), &[item(2, 10), item(3, 30)]),
            ],
        }))
        .unwrap();
        let (events, at) = events(&report, Some(Position { epoch, seqs: vec![3, 1] }));
        let told: Vec<_> = events.iter().map(|(kind, at, _)| (*kind, at.seqs.clone())).collect();
        let expected = [
            ("gap", vec![7, 1]),
            ("transition", vec![7, 2]),
            ("transition", vec![8, 2]),
            ("transition", vec![9, 2]),
            ("transition", vec![9, 3]),
        ];
        assert_eq!(told, expected);
        assert_eq!(at.seqs, [9, 3]);
        assert_eq!(serde_json::to_value(&events[0].2).unwrap(), json!({"breaker": "a", "from": 4, "to": 7}));
    }
}
