//! The way between an operator and the API server, on which everything can happen.
#![allow(clippy::disallowed_methods, reason = "the edge: time on the way")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{Request, Response, header, request::Parts},
};
use breakwater_fake_apiserver::{Failure, FakeApiServer, document};
use breakwater_operator::requests::ANSWER_LIMIT;
use futures::{StreamExt, stream};
use kube::{Client, client, client::retry::RetryPolicy};
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder, retry::RetryLayer, timeout::TimeoutLayer};

use crate::sabotage::Defect;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Pass,
    /// The operator is dead before it leaves.
    DeadBefore,
    /// It is carried out, and the operator is dead before the answer comes.
    DeadAfter,
    /// It is carried out, and the connection breaks before the answer comes.
    AnswerLost,
    /// The connection breaks before it is carried out.
    Refused,
    /// It is answered by this status, and not carried out.
    Status(u16),
    /// It is answered by 429, and asked to come again after so many seconds.
    Busy(u32),
    /// It is never answered, nor carried out.
    Silence,
    /// It is carried out and never answered.
    SilenceAfter,
    /// It is carried out, and half of the answer comes.
    HalfBody,
    /// A read is answered as of this revision; all else is answered.
    Stale(u64),
    /// It is answered after so long.
    Slow(Duration),
    /// The whole operator stands still for so long before it leaves; it leaves then, whether or not somebody still waits for the answer.
    Paused(Duration),
    /// It is carried out after so long, and never answered.
    Late(Duration),
}

impl Fate {
    /// How long the operator or what it asks for is held up on the way at least, where that is said.
    pub fn holds_up(self) -> Option<Duration> {
        match self {
            Self::Slow(time) | Self::Paused(time) | Self::Late(time) => Some(time),
            _ => None,
        }
    }
}

/// What becomes of a line of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFate {
    /// It comes.
    Pass,
    /// It never comes.
    Drop,
    /// It comes twice.
    Double,
    /// It comes after the next one.
    Swap,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number among all requests of all operators.
    pub index: usize,
    /// Number of the operator's process.
    pub process: usize,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// When, since the network was there.
    pub at: Duration,
    /// The newest revision at that time.
    pub revision: u64,
}

impl Sent {
    /// Whether it is to take a pod away, or all of a workload's.
    pub fn is_kill(&self) -> bool {
        let (pods, workloads) = (self.path.contains("/pods/"), self.path.contains("/apis/apps/"));
        self.method == "DELETE" && pods || self.path.contains("/eviction") || self.method == "PATCH" && workloads
    }

    /// Whether it asks for a watch, or for the first list of one: what says only when to look.
    pub fn is_watching(&self) -> bool {
        // Lists over all namespaces are what watches begin from; looks ask in one namespace.
        let begins = ["/api/v1/namespaces?", "/apis/chaos.breakwater.dev/v1alpha1/chaosexperiments?"];
        self.path.contains("watch=true")
            || self.path.contains("resourceVersion=0")
            || begins.iter().any(|begin| self.path.starts_with(begin))
    }
}

/// Says what becomes of each request.
pub type Plan = Box<dyn FnMut(&Sent) -> Fate + Send>;
/// Says what becomes of each line of all watches, by its number.
pub type LinePlan = Box<dyn FnMut(usize) -> LineFate + Send>;

/// From request to answer.
const LATENCY: Duration = Duration::from_millis(2);

/// What all operators' connections go through.
pub struct Network {
    server: FakeApiServer,
    defect: Option<Defect>,
    opened: Instant,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    lines: LinePlan,
    sent: Vec<(Sent, Fate)>,
    told: usize,
    withheld: usize,
    asleep: HashMap<usize, Instant>,
}

impl Network {
    /// A network in front of a server.
    pub fn new(server: FakeApiServer, plan: Plan, lines: LinePlan, defect: Option<Defect>) -> Arc<Self> {
        Arc::new(Self {
            server,
            defect,
            opened: Instant::now(),
            state: Mutex::new(State { plan, lines, sent: vec![], told: 0, withheld: 0, asleep: HashMap::new() }),
        })
    }

    /// All requests so far, with what became of them.
    pub fn sent(&self) -> Vec<(Sent, Fate)> {
        self.lock().sent.clone()
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.lock().sent.len()
    }

    /// How many lines of watches were told so far.
    pub fn told(&self) -> usize {
        self.lock().told
    }

    /// Whether a read was answered as of an older revision.
    pub fn lagged(&self) -> bool {
        self.lock().sent.iter().any(|(_, fate)| matches!(fate, Fate::Stale(_)))
    }

    /// How many of them were lost, or held back until the next one came, which may be a minute later.
    pub fn withheld(&self) -> usize {
        self.lock().withheld
    }

    /// A client for a process. `again`: it tries again by itself, as the real one for lists and watches does.
    pub fn client(self: &Arc<Self>, process: usize, dead: &Arc<AtomicBool>, again: bool) -> Client {
        let (network, dead) = (self.clone(), dead.clone());
        let user: Arc<str> = format!("operator-{process}").into();
        let wire = tower::service_fn(move |request: Request<client::Body>| {
            network.clone().carry(process, user.clone(), dead.clone(), request)
        });
        let again = again || self.defect == Some(Defect::RetryLeftOn);
        let retry = again.then(|| RetryLayer::new(RetryPolicy::server_retry()));
        let limit = TimeoutLayer::new(ANSWER_LIMIT);
        Client::new(ServiceBuilder::new().layer(limit).option_layer(retry).service(wire), "default")
    }

    /// When the last operator that stood still goes on, or went on.
    pub fn awake_from(&self) -> Option<Instant> {
        self.lock().asleep.values().max().copied()
    }

    /// Once an operator that stands still goes on.
    pub(crate) async fn awake(&self, process: usize) {
        let until = self.lock().asleep.get(&process).copied();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(
        self: Arc<Self>,
        process: usize,
        user: Arc<str>,
        dead: Arc<AtomicBool>,
        request: Request<client::Body>,
    ) -> Result<Response<Body>, BoxError> {
        alive(&dead).await;
        let (mut parts, body) = request.into_parts();
        let mut body = body.collect_bytes().await?;
        if let Some(defect) = self.defect {
            body = defect.apply(&self.server, &mut parts, body);
        }
        let fate = {
            let mut state = self.lock();
            let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            let (at, revision) = (self.opened.elapsed(), self.server.state().store.revision());
            let sent = Sent { index: state.sent.len(), process, method: parts.method.to_string(), path, at, revision };
            let fate = (state.plan)(&sent);
            state.sent.push((sent, fate));
            fate
        };
        match fate {
            Fate::DeadBefore => dead.store(true, Ordering::SeqCst),
            Fate::Paused(time) => {
                self.lock().asleep.insert(process, Instant::now() + time);
            }
            _ => {}
        }
        let rest = self.carry_on(process, user, dead, fate, parts, body);
        // What is on its way arrives, though its sender has given up meanwhile.
        if matches!(fate, Fate::Paused(_) | Fate::Late(_)) { tokio::spawn(rest).await? } else { rest.await }
    }

    async fn carry_on(
        self: Arc<Self>,
        process: usize,
        user: Arc<str>,
        dead: Arc<AtomicBool>,
        fate: Fate,
        parts: Parts,
        body: Bytes,
    ) -> Result<Response<Body>, BoxError> {
        wait(if let Fate::Slow(time) = fate { time } else { LATENCY / 2 }).await;
        self.awake(process).await;
        alive(&dead).await;
        let as_of = if let Fate::Stale(revision) = fate { Some(revision) } else { None };
        let answer = || self.server.answer_as_of(as_of, &user, &parts, &body);
        let refused = |code, reason| {
            let status = Failure::new(code, reason, format!("the server answers {code}"));
            document(code, &status.document())
        };
        let response = match fate {
            Fate::Pass | Fate::DeadBefore | Fate::Slow(_) | Fate::Paused(_) | Fate::Stale(_) => answer(),
            Fate::DeadAfter => {
                drop(answer());
                dead.store(true, Ordering::SeqCst);
                return std::future::pending().await;
            }
            Fate::AnswerLost => {
                drop(answer());
                return Err("connection reset by peer".into());
            }
            Fate::Refused => return Err("connection refused".into()),
            Fate::Silence => return std::future::pending().await,
            Fate::SilenceAfter => {
                drop(answer());
                return std::future::pending().await;
            }
            Fate::Late(time) => {
                wait(time).await;
                drop(answer());
                return std::future::pending().await;
            }
            Fate::HalfBody => half(answer()).await,
            Fate::Status(409) => refused(409, "Conflict"),
            Fate::Status(410) => refused(410, "Expired"),
            Fate::Status(500) => refused(500, "InternalError"),
            Fate::Status(504) => refused(504, "Timeout"),
            Fate::Status(code) => refused(code, "Unknown"),
            Fate::Busy(seconds) => {
                let mut busy = refused(429, "TooManyRequests");
                busy.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                busy
            }
        };
        wait(LATENCY / 2).await;
        self.awake(process).await;
        alive(&dead).await;
        Ok(if parts.uri.query().is_some_and(|query| query.contains("watch=true")) {
            self.disturb(response, process, dead)
        } else {
            response
        })
    }

    /// A watch whose lines may be lost, doubled or swapped; those of a dead operator never come, those of one that stands still when it
    /// goes on.
    fn disturb(self: Arc<Self>, response: Response<Body>, process: usize, dead: Arc<AtomicBool>) -> Response<Body> {
        response.map(|body| {
            // The last line may be told after their end.
            let lines = body.into_data_stream().fuse();
            let told = stream::unfold((lines, None::<Bytes>), move |(mut lines, held)| {
                let (network, dead) = (self.clone(), dead.clone());
                async move {
                    let Some(line) = lines.next().await else {
                        return held.map(|late| (Ok(late), (lines, None)));
                    };
                    let line = match line {
                        Ok(line) => line,
                        Err(error) => return Some((Err(error), (lines, held))),
                    };
                    network.awake(process).await;
                    alive(&dead).await;
                    if let Some(late) = held {
                        return Some((Ok(Bytes::from([line, late].concat())), (lines, None)));
                    }
                    let fate = {
                        let mut state = network.lock();
                        let number = state.told;
                        state.told += 1;
                        let fate = (state.lines)(number);
                        state.withheld += usize::from(matches!(fate, LineFate::Swap | LineFate::Drop));
                        fate
                    };
                    let (told, held) = match fate {
                        LineFate::Pass => (line, None),
                        LineFate::Double => (Bytes::from([line.clone(), line].concat()), None),
                        LineFate::Drop => (Bytes::new(), None),
                        LineFate::Swap => (Bytes::new(), Some(line)),
                    };
                    Some((Ok(told), (lines, held)))
                }
            });
            Body::from_stream(told)
        })
    }
}

/// Half of a body, then the end of the connection.
async fn half(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut stream = body.into_data_stream();
    let first = stream.next().await.and_then(Result::ok).unwrap_or_default();
    let half = first.slice(..first.len() / 2);
    let broken = [Ok(half), Err(std::io::Error::other("connection reset by peer"))];
    Response::from_parts(parts, Body::from_stream(stream::iter(broken)))
}

/// A dead operator goes no further.
async fn alive(dead: &AtomicBool) {
    if dead.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
