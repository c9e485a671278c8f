//! Simulated client replicas, each with a real breaker, and the way in which they are asked.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use breakwater_breaker::{
    Breaker, Cursor, ManualClock, Now, OpenTime, Policy, Settings, State, Transition,
    wire::{Instance, StatusReport},
};
use breakwater_operator::fetch::Fetch;
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use uuid::Uuid;

use crate::lies::Lie;

/// Between two calls of a client.
const CALL_EVERY: SignedDuration = SignedDuration::from_millis(300);

/// How a replica answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Manner {
    /// As it is.
    #[default]
    Honest,
    /// Not at all.
    Silent,
    /// With an error.
    Down,
    /// With these bytes.
    Says(Vec<u8>),
    /// With a new process at each question.
    NewEpochs,
    /// With a report that is not true.
    Lies(Lie),
}

/// Every transition, with the process that made it.
pub type Emitted = Arc<Mutex<Vec<(Uuid, Transition)>>>;

/// A client replica.
pub struct Replica {
    /// Its pod's name.
    pub pod: String,
    /// Its pod's uid.
    pub uid: String,
    /// Its pod's address.
    pub ip: String,
    /// How it answers.
    pub manner: Manner,
    /// Every transition that its breakers made, with the process that made it.
    pub emitted: Emitted,
    breaker: Breaker,
    clock: ManualClock,
    started: Timestamp,
    next_call: Timestamp,
    processes: u32,
    asked: u64,
}

/// All client replicas.
#[derive(Clone, Default)]
pub struct Clients(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    replicas: Vec<Replica>,
    now: Timestamp,
}

impl Clients {
    /// A replica more, which has been running for a minute.
    pub fn add(&self, pod: &str, uid: &str, ip: &str, now: Timestamp) {
        let mut inner = self.lock();
        inner.now = now;
        let started = now - SignedDuration::from_mins(1);
        let emitted = Arc::default();
        let (breaker, clock) = breaker(uid, 0, started, &emitted);
        let next_call = now + SignedDuration::from_millis(50 * (inner.replicas.len() as i64 + 1));
        let (pod, uid, ip) = (pod.into(), uid.into(), ip.into());
        let manner = Manner::Honest;
        inner.replicas.push(Replica {
            pod,
            uid,
            ip,
            manner,
            emitted,
            breaker,
            clock,
            started,
            next_call,
            processes: 1,
            asked: 0,
        });
    }

    /// A replica goes, and what it emitted with it.
    pub fn remove(&self, uid: &str) {
        self.lock().replicas.retain(|replica| replica.uid != uid);
    }

    /// Time goes on, and each calls if its time has come; `backend`: it would be answered.
    pub fn live(&self, now: Timestamp, backend: bool) {
        let mut inner = self.lock();
        inner.now = now;
        inner.replicas.iter_mut().for_each(|replica| replica.live(now, backend));
    }

    /// Changes how they answer.
    pub fn behave(&self, manner: &Manner) {
        self.lock().replicas.iter_mut().for_each(|replica| replica.manner = manner.clone());
    }

    /// The process of a replica starts anew.
    pub fn restart(&self, which: usize) {
        let mut inner = self.lock();
        let now = inner.now;
        if let Some(replica) = inner.replicas.get_mut(which) {
            replica.restart(now);
        }
    }

    /// What each has emitted, by the uid of its pod.
    pub fn emitted(&self) -> Vec<(String, Vec<(Uuid, Transition)>)> {
        let copy = |replica: &Replica| {
            let emitted = replica.emitted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (replica.uid.clone(), emitted)
        };
        self.lock().replicas.iter().map(copy).collect()
    }

    /// The states of the breakers.
    pub fn states(&self) -> Vec<State> {
        self.lock().replicas.iter().map(|replica| replica.breaker.state()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, url: &Url) -> Result<Option<Vec<u8>>, String> {
        let mut inner = self.lock();
        let now = inner.now;
        let host = url.host_str().unwrap_or_default();
        let replica =
            inner.replicas.iter_mut().find(|replica| replica.ip == host).ok_or("no route to host".to_string())?;
        let since = url.query_pairs().find(|(key, _)| key == "since").map(|(_, value)| value.parse::<Cursor>());
        match &replica.manner {
            Manner::Silent => Ok(None),
            Manner::Down => Err("connection refused".into()),
            Manner::Says(bytes) => Ok(Some(bytes.clone())),
            Manner::NewEpochs => {
                replica.restart(now);
                replica.report(since.and_then(Result::ok), now).map(Some)
            }
            Manner::Lies(lie) => {
                let lie = *lie;
                replica.asked += 1;
                replica.report(since.and_then(Result::ok), now).map(|report| Some(lie.tell(report, replica.asked)))
            }
            Manner::Honest => replica.report(since.and_then(Result::ok), now).map(Some),
        }
    }
}

impl Fetch for Clients {
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let answer = self.ask(&url);
        async move {
            match answer? {
                Some(bytes) => Ok(bytes),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// A breaker that opens after three failures in a row, for a second.
fn breaker(uid: &str, process: u32, started: Timestamp, emitted: &Emitted) -> (Breaker, ManualClock) {
    let epoch = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{uid}/{process}").as_bytes());
    let clock = ManualClock::new(Now::new(started, Duration::ZERO));
    let settings = Settings::default()
        .with_policy(Policy::consecutive_failures(3))
        .with_open_time(OpenTime::fixed(Duration::from_secs(1)));
    let log = emitted.clone();
    let breaker = Breaker::builder("backend").settings(settings).epoch(epoch).clock(clock.clone());
    let breaker = breaker.listener(move |transition| {
        log.lock().unwrap_or_else(PoisonError::into_inner).push((epoch, transition.clone()));
    });
    (breaker.build(), clock)
}

impl Replica {
    fn moment(&self, now: Timestamp) -> Now {
        Now::new(now, Duration::try_from(now.duration_since(self.started)).unwrap_or_default())
    }

    fn live(&mut self, now: Timestamp, backend: bool) {
        self.clock.set(self.moment(now));
        self.breaker.tick();
        if now < self.next_call {
            return;
        }
        self.next_call = now + CALL_EVERY;
        let Ok(permit) = self.breaker.try_acquire() else { return };
        if backend {
            permit.success();
        } else {
            permit.failure("connection refused");
        }
    }

    fn restart(&mut self, now: Timestamp) {
        self.started = now;
        (self.breaker, self.clock) = breaker(&self.uid, self.processes, now, &self.emitted);
        self.processes += 1;
    }

    fn report(&self, since: Option<Cursor>, now: Timestamp) -> Result<Vec<u8>, String> {
        let now = self.moment(now);
        let instance =
            Instance { epoch: self.breaker.epoch(), pod_uid: Some(self.uid.clone()), started_at: self.started };
        let report = self.breaker.report(since, now).map_err(|error| format!("/status answers 400: {error}"))?;
        let report = StatusReport { schema: "v1".into(), instance, now, breakers: vec![report] };
        serde_json::to_vec(&report).map_err(|error| error.to_string())
    }
}
