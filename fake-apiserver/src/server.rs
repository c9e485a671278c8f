//! The server: takes requests in, one after the other, and answers from its store.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, Response, header, request::Parts},
};
use jiff::Timestamp;
use kube::client;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::Service;

use crate::{
    failure::Failure,
    kind::{BUILT_IN, Kind},
    list, read,
    route::{Route, Verb},
    store::Store,
    watch::stream,
    write,
};

/// An API server in process. Clones are the same server.
#[derive(Clone)]
pub struct FakeApiServer(Arc<Shared>);

struct Shared {
    kinds: Vec<Kind>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
    /// Tells the watches, always in the same order, that something was written.
    news: Notify,
}

/// All that the server keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The objects, with all their versions.
    pub store: Store,
    /// Every request, in the order in which they were taken in.
    pub requests: Vec<Logged>,
    pub(crate) born: u64,
}

/// A request, as an audit log has it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When it was taken in.
    pub at: Timestamp,
    /// Whose it was.
    pub by: Arc<str>,
    /// What it asked for.
    pub verb: Verb,
    /// Plural name of the kind.
    pub kind: &'static str,
    /// `namespace/name`, and `/subresource` where there is one.
    pub object: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The revision that a read shows; of everything else the store's revision after it.
    pub revision: u64,
    /// What it sent; of deletes and creations only.
    pub sent: Option<Value>,
}

/// What is needed to carry out a request that is understood.
pub(crate) struct Call<'a> {
    pub kinds: &'a [Kind],
    pub route: &'a Route,
    pub by: &'a Arc<str>,
    pub now: Timestamp,
    /// A read shows this revision instead of the newest one.
    pub as_of: Option<u64>,
}

impl Call<'_> {
    pub fn kind(&self) -> &Kind {
        &self.kinds[self.route.kind]
    }

    pub fn key(&self) -> crate::store::Key {
        (self.route.kind, self.route.namespace.clone(), self.route.name.clone())
    }
}

pub(crate) type Answer = Result<(u16, Value), Failure>;

impl FakeApiServer {
    /// A server without an object that knows the built-in kinds and these. `clock` is its wall clock.
    pub fn new(custom: &[Kind], clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let kinds = BUILT_IN.iter().chain(custom).cloned().collect();
        Self(Arc::new(Shared { kinds, clock: Box::new(clock), state: Mutex::default(), news: Notify::new() }))
    }

    /// A service for a [`kube::Client`], whose requests are logged as this user's.
    pub fn service(
        &self,
        user: &str,
    ) -> impl Service<Request<client::Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
    + use<> {
        let (server, user) = (self.clone(), Arc::<str>::from(user));
        tower::service_fn(move |request: Request<client::Body>| {
            let (server, user) = (server.clone(), user.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                Ok(server.answer(&user, &parts, &body))
            }
        })
    }

    /// Answers one request.
    pub fn answer(&self, by: &Arc<str>, parts: &Parts, body: &Bytes) -> Response<Body> {
        self.answer_as_of(None, by, parts, body)
    }

    /// Answers one request; a read of an object or a list is shown as it was at an older revision, as by a replica that lags behind.
    pub fn answer_as_of(&self, revision: Option<u64>, by: &Arc<str>, parts: &Parts, body: &Bytes) -> Response<Body> {
        let route = match Route::parse(&self.0.kinds, parts) {
            Ok(route) => route,
            Err(failure) => return document(failure.code, &failure.document()),
        };
        if route.verb == Verb::Watch {
            return self.watch(by, &route);
        }
        match self.carry_out(revision, by, &route, parts, body) {
            Ok((code, answer)) => document(code, &answer),
            Err(failure) => document(failure.code, &failure.document()),
        }
    }

    /// A request of somebody who is in this process too, such as a simulated kubelet.
    ///
    /// # Errors
    /// Where the server refuses it.
    ///
    /// # Panics
    /// Where the path is none.
    pub fn call(&self, by: &str, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content).body(());
        let (parts, ()) = request.expect("the path is one").into_parts();
        let route = Route::parse(&self.0.kinds, &parts)?;
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.carry_out(None, &Arc::from(by), &route, &parts, &body).map(|(_, answer)| answer)
    }

    /// What the server keeps; nothing is answered as long as this is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever listens from now on is told when something is written.
    pub(crate) fn news(&self) -> &Notify {
        &self.0.news
    }

    /// The kinds, by whose index the store's keys begin.
    pub fn kinds(&self) -> &[Kind] {
        &self.0.kinds
    }

    /// Takes an object away at once, whatever its finalizers say: what a namespace's end does to it.
    pub fn erase(&self, by: &str, key: &crate::store::Key) {
        self.state().store.remove(key, &Arc::from(by));
        self.0.news.notify_waiters();
    }

    fn carry_out(&self, as_of: Option<u64>, by: &Arc<str>, route: &Route, parts: &Parts, body: &Bytes) -> Answer {
        let mut state = self.state();
        let before = state.store.revision();
        let as_of = as_of.filter(|_| matches!(route.verb, Verb::Get | Verb::List));
        let call = Call { kinds: &self.0.kinds, route, by, now: (self.0.clock)(), as_of };
        let sent = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
        let answer = match sent {
            Err(error) => Err(Failure::bad(format!("the body is no JSON: {error}"))),
            Ok(sent) => {
                let answer = match route.verb {
                    Verb::Get => read::get(&state, &call),
                    Verb::List => list::list(&state, &call),
                    Verb::Create if route.subresource == "eviction" => write::evict(&mut state, &call, &sent),
                    Verb::Create => write::create(&mut state, &call, sent.clone()),
                    Verb::Update => write::update(&mut state, &call, sent.clone()),
                    Verb::Patch => write::patch(&mut state, &call, &sent, content_type(parts)),
                    Verb::Delete => write::delete(&mut state, &call, &sent).map(|answer| (200, answer)),
                    Verb::Watch => Err(Failure::bad("a watch is no single answer")),
                };
                let kept = matches!(route.verb, Verb::Delete | Verb::Create).then_some(sent);
                log(&mut state, &call, &answer, kept);
                answer
            }
        };
        let written = state.store.revision() != before;
        drop(state);
        if written {
            self.0.news.notify_waiters();
        }
        answer.map(|(code, object)| (code, if route.metadata_only { read::metadata(object) } else { object }))
    }

    fn watch(&self, by: &Arc<str>, route: &Route) -> Response<Body> {
        let mut state = self.state();
        let call = Call { kinds: &self.0.kinds, route, by, now: (self.0.clock)(), as_of: None };
        log(&mut state, &call, &Ok((200, Value::Null)), None);
        drop(state);
        let body = Body::from_stream(stream(self.clone(), route.clone()));
        respond(200, body)
    }
}

impl fmt::Debug for FakeApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeApiServer").field("revision", &self.state().store.revision()).finish_non_exhaustive()
    }
}

fn log(state: &mut State, call: &Call<'_>, answer: &Answer, sent: Option<Value>) {
    let route = call.route;
    let parts = [&route.namespace, &route.name, &route.subresource];
    let object = parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/");
    let code = answer.as_ref().map_or_else(|failure| failure.code, |(code, _)| *code);
    let revision = call.as_of.unwrap_or(state.store.revision());
    let (at, by, verb, kind) = (call.now, call.by.clone(), route.verb, call.kind().plural);
    state.requests.push(Logged { at, by, verb, kind, object, code, revision, sent });
}

fn content_type(parts: &Parts) -> &str {
    parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An answer that is one JSON document.
pub fn document(code: u16, document: &Value) -> Response<Body> {
    respond(code, Body::from(serde_json::to_vec(document).unwrap_or_default()))
}

fn respond(code: u16, body: Body) -> Response<Body> {
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .unwrap_or_else(|error| Response::new(Body::from(json!({"message": error.to_string()}).to_string())))
}
