//! A client in virtual time: a real breaker, calls now and then, and a status that is read as the operator's poller reads it.

use std::time::Duration;

use breakwater_breaker::{
    Breaker, Cursor, ManualClock, Now, Settings,
    wire::{Instance, StatusReport},
};
use breakwater_operator::{
    poll::{Endpoint, understand},
    world::{ReplicaView, Report},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub struct Client {
    /// Which client of the spec it is a replica of.
    pub of: String,
    pub uid: String,
    name: String,
    pub breaker: Breaker,
    clock: ManualClock,
    started: Timestamp,
    pub next_call: Timestamp,
    /// The time from one call to the next, and the attempts in one call.
    calls: (Duration, u32),
    /// It makes calls at all.
    pub calls_backend: bool,
    /// Its status endpoint answers.
    pub answers: bool,
    heard_at: Timestamp,
    /// The cursor that its newest answer was asked with: the one that was recorded a look ago.
    asked_from: Option<Cursor>,
    /// A new operator has not heard it yet.
    pub unheard: bool,
    /// What it is heard to say, or why nothing, instead of the truth.
    pub said: Option<Result<Report, String>>,
    /// Its wall clock is off by so much.
    pub skew: SignedDuration,
}

impl Client {
    /// A client whose breaker is closed, and whose first call is a moment away.
    pub fn new(
        client: &breakwater_crds::Client,
        pod: &str,
        settings: Settings,
        calls: (Duration, u32),
        now: Timestamp,
    ) -> Self {
        let started = now - SignedDuration::from_secs(60);
        let clock = ManualClock::new(Now::new(started, Duration::ZERO));
        let epoch = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{pod}", client.name).as_bytes());
        Self {
            of: client.name.clone(),
            uid: pod.into(),
            name: client.breaker.clone(),
            breaker: Breaker::builder(&client.breaker).epoch(epoch).settings(settings).clock(clock.clone()).build(),
            clock,
            started,
            next_call: now + SignedDuration::from_millis(100),
            calls,
            calls_backend: true,
            answers: true,
            heard_at: now,
            asked_from: None,
            unheard: false,
            said: None,
            skew: SignedDuration::ZERO,
        }
    }

    /// Its process starts anew.
    pub fn restart(&mut self, now: Timestamp) {
        let epoch = Uuid::from_u128(self.breaker.epoch().as_u128() + 1000);
        self.started = now;
        self.clock.set(Now::new(now, Duration::ZERO));
        self.breaker = Breaker::builder(&self.name).epoch(epoch).clock(self.clock.clone()).build();
    }

    /// The wall clock jumps, for everybody.
    pub fn jump(&mut self, by: SignedDuration) {
        self.started += by;
        self.next_call += by;
    }

    fn moment(&self, now: Timestamp) -> Now {
        Now::new(now + self.skew, Duration::try_from(now.duration_since(self.started)).unwrap())
    }

    /// Calls now and then, each attempt through the breaker, as the demo's client does.
    pub fn live(&mut self, now: Timestamp, backend: bool) {
        self.clock.set(self.moment(now));
        self.breaker.tick();
        if now < self.next_call || !self.calls_backend {
            return;
        }
        let (interval, attempts) = self.calls;
        self.next_call = now + SignedDuration::try_from(interval).unwrap();
        for _ in 0..attempts {
            let Ok(permit) = self.breaker.try_acquire() else { return };
            if backend {
                permit.success();
                return;
            }
            permit.failure("connection refused");
        }
    }

    /// What the operator sees of it, which has recorded it up to this cursor.
    pub fn view(&mut self, recorded: Option<Cursor>, now: Timestamp) -> ReplicaView {
        let moment = self.moment(now);
        let since = std::mem::replace(&mut self.asked_from, recorded);
        let instance = Instance { epoch: self.breaker.epoch(), pod_uid: None, started_at: self.started };
        // A cursor that is none of its own, as a forged status has it: it tells all.
        let report = self.breaker.report(since, moment).or_else(|_| self.breaker.report(None, moment));
        let report = report.expect("there is no cursor to be wrong");
        let answer = StatusReport { schema: "v1".into(), instance, now: moment, breakers: vec![report] };
        if self.answers || self.unheard {
            self.heard_at = now;
        }
        let endpoint = Endpoint {
            address: ([127, 0, 0, 1], 80).into(),
            path: "/status".into(),
            pod_uid: self.uid.clone(),
            breaker: self.name.clone(),
            interval: Duration::from_millis(500),
        };
        let speaks = self.answers && !self.unheard;
        let report = speaks.then(|| understand(answer, &endpoint, now).unwrap().0);
        let error = (!self.answers).then(|| "no answer".to_string());
        let (report, error) = match self.said.clone() {
            Some(Ok(said)) => (Some(said), None),
            Some(Err(why)) => (report, Some(why)),
            None => (report, error),
        };
        ReplicaView { pod: self.uid.clone(), uid: self.uid.clone(), heard_at: self.heard_at, report, error }
    }
}
