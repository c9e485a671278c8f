//! Watches: what happens to a collection from a revision on, one line an event.
#![allow(clippy::disallowed_methods, reason = "the edge: a watch ends by tokio's clock")]

use std::{borrow::Cow, collections::VecDeque, convert::Infallible, pin::pin, time::Duration};

use axum::body::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    failure::Failure,
    read,
    route::Route,
    server::FakeApiServer,
    store::{Change, Store},
};

/// How often a quiet watch says how far it is; it does so at its end as well.
const BOOKMARK: Duration = Duration::from_secs(60);
/// How long a watch lasts that does not say so.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);

struct Watch {
    server: FakeApiServer,
    route: Route,
    cursor: u64,
    due: VecDeque<Bytes>,
    end: Instant,
    over: bool,
}

/// The lines of a watch.
pub fn stream(server: FakeApiServer, route: Route) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let seconds = route.parameter("timeoutSeconds").parse().map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let end = Instant::now() + seconds;
    let mut watch = Watch { server, route, cursor: 0, due: VecDeque::new(), end, over: false };
    watch.begin();
    stream::unfold(watch, async |mut watch| {
        let line = watch.next().await?;
        Some((Ok(line), watch))
    })
}

impl Watch {
    fn begin(&mut self) {
        let server = self.server.clone();
        let state = server.state();
        let from = self.route.parameter("resourceVersion");
        match from.parse::<u64>() {
            Ok(revision) if revision > 0 => self.cursor = revision,
            _ => {
                self.cursor = state.store.revision();
                let wanted = |object: &&_| self.route.selector.matches(object);
                let objects = state.store.list(self.route.kind, &self.route.namespace).map(|(_, object)| object);
                let there: Vec<_> = objects.filter(|object| wanted(&object.as_ref())).cloned().collect();
                let lines: Vec<_> = there.iter().map(|object| self.line("ADDED", Cow::Borrowed(object))).collect();
                self.due.extend(lines);
            }
        }
        if self.cursor < state.store.compacted() {
            self.due.push_back(self.line("ERROR", Cow::Owned(Failure::expired().document())));
            self.over = true;
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.due.pop_front() {
                return Some(line);
            }
            let left = self.end.saturating_duration_since(Instant::now());
            if self.over || left.is_zero() {
                return None;
            }
            let server = self.server.clone();
            let mut news = pin!(server.news().notified());
            // What is written from here on wakes it.
            news.as_mut().enable();
            self.take();
            if self.due.is_empty() && timeout(left.min(BOOKMARK), news).await.is_err() {
                self.bookmark();
            }
        }
    }

    /// What has happened since.
    fn take(&mut self) {
        let server = self.server.clone();
        let state = server.state();
        let news = events(&state.store, &self.route, self.cursor);
        let lines: Vec<_> = news.map(|(kind, object)| self.line(kind, object)).collect();
        self.due.extend(lines);
        self.cursor = self.cursor.max(state.store.revision());
    }

    fn bookmark(&mut self) {
        if self.route.parameter("allowWatchBookmarks") == "true" {
            let kind = &self.server.kinds()[self.route.kind];
            let object = json!({"kind": kind.kind, "apiVersion": kind.api_version(),
                "metadata": {"resourceVersion": self.cursor.to_string()}});
            // A bookmark has no more than its revision, and none of the fields that an object must have.
            self.due.push_back(line("BOOKMARK", &object));
        }
    }

    fn line(&self, kind: &str, object: Cow<'_, Value>) -> Bytes {
        if self.route.metadata_only { line(kind, &read::metadata(object.into_owned())) } else { line(kind, &object) }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let object = serde_json::to_string(object).unwrap_or_default();
    Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

/// An object that comes to match is added, and one that ceases to is deleted.
fn events<'a>(store: &'a Store, route: &'a Route, cursor: u64) -> impl Iterator<Item = (&'static str, Cow<'a, Value>)> {
    let meant = |change: &&Change| {
        let (kind, namespace, _) = &change.key;
        *kind == route.kind && (route.namespace.is_empty() || *namespace == route.namespace)
    };
    store.since(cursor).iter().filter(meant).filter_map(|change| {
        let was = change.before.as_ref().is_some_and(|before| route.selector.matches(before));
        let is = !change.deleted && route.selector.matches(&change.object);
        let kind = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let mut object = Cow::Borrowed(change.object.as_ref());
        if kind == "DELETED" && !change.deleted {
            // What has gone out of sight is shown as it was last seen, with the revision at which it went.
            let mut last = change.before.as_ref().map_or(Value::Null, |before| Value::clone(before));
            last["metadata"]["resourceVersion"] = change.object["metadata"]["resourceVersion"].clone();
            object = Cow::Owned(last);
        }
        Some((kind, object))
    })
}
