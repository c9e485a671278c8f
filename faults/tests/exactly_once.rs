//! A million transitions through a thousand restarts: what is recorded and what is said to be missing is what was emitted, exactly.
//!
//! Real breakers and the operator's own code from the question to the record, in virtual time: poller, mailbox, `decide::clients`.
#![allow(clippy::disallowed_methods, reason = "the edge: virtual time is made here")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use breakwater_breaker::{
    Breaker, Cursor, ManualClock, Now, OpenTime, Policy, Settings, State,
    wire::{Instance, StatusReport},
};
use breakwater_crds::{ChaosExperiment, GapReason, Replica, Run};
use breakwater_faults::workloads;
use breakwater_operator::{
    clock::Clock,
    decide::clients,
    fetch::Fetch,
    metrics::Metrics,
    places::Places,
    poll::{Asking, Endpoint, Poller},
    world::{ClientView, ReplicaView, World},
};
use fastrand::Rng;
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use reqwest::Url;
use uuid::Uuid;

const TRANSITIONS: u64 = 1_000_000;
const RESTARTS: u32 = 1000;
const POLL: Duration = Duration::from_millis(250);

/// The process of a client, and how many transitions each process has made.
struct Process {
    breaker: Breaker,
    clock: ManualClock,
    at: Now,
    made: BTreeMap<Uuid, u64>,
}

impl Process {
    fn start(number: u32, made: BTreeMap<Uuid, u64>) -> Self {
        let epoch = Uuid::from_u128(u128::from(number) + 1);
        let at = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        let clock = ManualClock::new(at);
        let settings = Settings::default()
            .with_policy(Policy::consecutive_failures(1))
            .with_open_time(OpenTime::fixed(Duration::from_nanos(1)));
        let breaker = Breaker::builder("backend").settings(settings).epoch(epoch).clock(clock.clone()).build();
        // Its start is its first one.
        let made = made.into_iter().chain([(epoch, 1)]).collect();
        Self { breaker, clock, at, made }
    }

    /// It opens, half-opens and closes, so often.
    fn flap(&mut self, times: u64) {
        for _ in 0..times {
            self.breaker.try_acquire().expect("it is closed").failure("timeout");
            self.at = Now::new(Timestamp::UNIX_EPOCH, self.at.mono() + Duration::from_nanos(1));
            self.clock.set(self.at);
            self.breaker.tick();
            while self.breaker.state() == State::HalfOpen {
                self.breaker.try_acquire().expect("it lets trials through").success();
            }
        }
        *self.made.entry(self.breaker.epoch()).or_default() += 3 * times;
    }
}

#[derive(Clone)]
struct Client(Arc<Mutex<Process>>);

impl Client {
    fn with<T>(&self, what: impl FnOnce(&mut Process) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fetch for Client {
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let since = url.query_pairs().find(|(key, _)| key == "since").and_then(|(_, value)| value.parse().ok());
        let answer = self.with(|process| {
            let report = process.breaker.report(since, process.at).map_err(|error| error.to_string())?;
            let instance =
                Instance { epoch: process.breaker.epoch(), pod_uid: None, started_at: Timestamp::UNIX_EPOCH };
            let report = StatusReport { schema: "v1".into(), instance, now: process.at, breakers: vec![report] };
            serde_json::to_vec(&report).map_err(|error| error.to_string())
        });
        std::future::ready(answer).boxed()
    }
}

/// What has been recorded, and what is said to be missing.
#[derive(Default)]
struct Account {
    /// Recorded transitions and those said to be missing by number, of each process.
    known: BTreeMap<Uuid, u64>,
    recorded: u64,
    missing: u64,
    restarts: u64,
}

impl Account {
    /// Takes the record of one look out of the replica: a run keeps the newest, this test all.
    fn take(&mut self, replica: &mut Replica) {
        let recorded = replica.transitions.len() as u64 + std::mem::take(&mut replica.transitions_dropped);
        let missing: u64 = replica.gaps.iter().filter_map(|gap| gap.missing).sum();
        assert_eq!(replica.gaps_dropped, 0, "no look has more gaps than are kept");
        let overrun = |reason| matches!(reason, GapReason::RingOverrun);
        assert!(replica.gaps.iter().all(|gap| overrun(gap.reason) == gap.missing.is_some()), "{:?}", replica.gaps);
        self.restarts += replica.gaps.iter().filter(|gap| gap.reason == GapReason::InstanceRestart).count() as u64;
        assert!(replica.transitions.is_sorted_by(|one, next| one.seq < next.seq));
        assert!(replica.transitions.last().is_none_or(|last| last.seq == replica.seq));
        *self.known.entry(replica.epoch).or_default() += recorded + missing;
        (self.recorded, self.missing) = (self.recorded + recorded, self.missing + missing);
        replica.transitions.clear();
        replica.gaps.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_and_missing_is_emitted() {
    let mut random = Rng::with_seed(20_261_124);
    let client = Client(Arc::new(Mutex::new(Process::start(0, BTreeMap::new()))));
    let endpoint = Endpoint {
        address: "10.0.0.1:8080".parse().unwrap(),
        path: "/status".into(),
        pod_uid: "the-pod".into(),
        breaker: "backend".into(),
        interval: POLL,
    };
    let now = || Timestamp::UNIX_EPOCH;
    let asking = Asking {
        fetch: Arc::new(client.clone()),
        places: Places::default().of("shop"),
        clock: Clock::new(now),
        metrics: Arc::new(Metrics::default()),
    };
    let poller = Poller::start(asking, endpoint, now(), || ());
    let experiment: ChaosExperiment = serde_json::from_value(workloads::named("outage").experiment("outage")).unwrap();
    let replica = serde_json::json!({"client": "client", "pod": "client-0", "uid": "the-pod", "seq": 0,
        "epoch": Uuid::from_u128(1), "breaker": "Closed", "sequence": [], "flaps": 0, "callsAtBaseline": 0});
    let mut run = Run { clients: vec![serde_json::from_value(replica).unwrap()], ..Run::default() };
    let mut account = Account::default();
    // What died with its process, unread: nobody can say how much that was, but that something may be missing.
    let mut unread = 0;
    let mut polls = 0;
    for restart in 0..=RESTARTS {
        // Three transitions each.
        let mut left = random.u64(1..=2 * TRANSITIONS / u64::from(RESTARTS) / 3 + 20);
        let mut is_read = false;
        while left > 0 {
            // Sometimes more than the ring holds between two questions.
            let most = if random.u8(0..10) == 0 { 500 } else { 40 };
            let times = random.u64(1..=most).min(left);
            left -= times;
            client.with(|process| process.flap(times));
            is_read = left > 0 || random.bool();
            if is_read {
                let before = polls;
                // Of very many the operator keeps some at a time.
                while polls == before
                    || run.clients[0].seq < client.with(|process| process.made[&process.breaker.epoch()])
                {
                    assert!(polls < before + 20, "{:?} is read no further", run.clients[0].seq);
                    look(&poller, &experiment, &mut run).await;
                    account.take(&mut run.clients[0]);
                    polls += 1;
                }
            }
        }
        let (epoch, made) = client.with(|process| (process.breaker.epoch(), process.made[&process.breaker.epoch()]));
        let known = account.known.get(&epoch).copied().unwrap_or(0);
        assert!(known == made || (known < made && !is_read), "process {restart}: {known} known of {made}");
        unread += made - known;
        if restart < RESTARTS {
            let made = client.with(|process| std::mem::take(&mut process.made));
            client.with(|process| *process = Process::start(restart + 1, made));
        }
    }
    let emitted: u64 = client.with(|process| process.made.values().sum());
    let (recorded, missing) = (account.recorded, account.missing);
    println!(
        "{emitted} emitted in {} processes, {polls} looks: {recorded} recorded, {missing} missing by number, {unread} died unread",
        RESTARTS + 1
    );
    assert!(emitted >= TRANSITIONS && missing > 0 && unread > 0);
    assert_eq!(recorded + missing + unread, emitted);
    // Each process that was heard follows a restart that is told, whether anything was unread or not.
    assert_eq!(account.restarts, account.known.len() as u64 - 1);
}

/// One question and one look, as the controller has it.
async fn look(poller: &Poller, experiment: &ChaosExperiment, run: &mut Run) {
    let replica = &run.clients[0];
    poller.mailbox.recorded(Cursor { epoch: replica.epoch, seq: replica.seq });
    tokio::time::sleep(POLL).await;
    let heard = poller.mailbox.read();
    assert_eq!(heard.error, None);
    let view = ReplicaView {
        pod: "client-0".into(),
        uid: "the-pod".into(),
        heard_at: heard.at,
        report: heard.report,
        error: None,
    };
    let world = World { clients: vec![ClientView { name: "client".into(), replicas: vec![view] }], ..World::default() };
    clients(&experiment.spec, run, &world, Timestamp::UNIX_EPOCH);
}
