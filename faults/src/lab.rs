//! A namespace in which an experiment runs, from nothing to its end, in virtual time.
#![allow(clippy::disallowed_methods, reason = "the edge: virtual time is made here")]

mod happenings;

use std::{sync::Arc, time::Duration};

use axum::http::Method;
use breakwater_crds::ChaosExperiment;
use breakwater_fake_apiserver::{FakeApiServer, Kind};
use breakwater_operator::{
    sabotage::sabotage,
    scope::{ALLOWED, LABEL},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    backend::{Backend, bait},
    churn::Churn,
    clients::Clients,
    deployment::Deployment,
    net::{Fate, LineFate, LinePlan, Network, Plan},
    panics,
    process::{Process, SYSTEM},
    sabotage::Defect,
    workloads::Workload,
};

pub use happenings::Happening;

/// Where it all happens.
pub const NAMESPACE: &str = "shop";
const SHOP: &str = "/api/v1/namespaces/shop";
/// A namespace in which there is nothing to do.
pub const ELSEWHERE: &str = "harbour";
/// The pods of the namespace.
pub const PODS: &str = "/api/v1/namespaces/shop/pods";
/// The experiments of the namespace.
pub const EXPERIMENTS: &str = "/apis/chaos.breakwater.dev/v1alpha1/namespaces/shop/chaosexperiments";
/// One step of virtual time.
const STEP: Duration = Duration::from_millis(50);
/// After the runs that are waited for a schedule goes on for so long: another start that should not be would be seen.
const ONE_MORE: Duration = Duration::from_secs(70);
/// An operator that has died is followed by another after this time, where nothing else is said.
pub const TAKE_OVER: SignedDuration = SignedDuration::from_secs(1);
/// When the laboratory opens.
pub const OPENS: Timestamp = Timestamp::constant(1_796_115_600, 0);

/// A run that is to be played.
pub struct Setup {
    /// What is to be done.
    pub workload: Workload,
    /// What becomes of requests.
    pub plan: Plan,
    /// What becomes of lines of watches.
    pub lines: LinePlan,
    /// Operators at once, and by how much the clock of each is off.
    pub operators: Vec<SignedDuration>,
    /// What happens when, in milliseconds after the start.
    pub happenings: Vec<(u64, Happening)>,
    /// From the death of an operator to the next one.
    pub take_over: SignedDuration,
    /// Whether the operators run experiments in namespaces that have opted in alone; the laboratory's has, up to [`Happening::OptOut`].
    pub label_required: bool,
    /// What the operators do wrong on purpose.
    pub defect: Option<Defect>,
    /// For delays by chance.
    pub seed: u64,
}

impl Setup {
    /// One operator, nothing out of order.
    pub fn calm(workload: &Workload) -> Self {
        Self {
            workload: workload.clone(),
            plan: Box::new(|_| Fate::Pass),
            lines: Box::new(|_| LineFate::Pass),
            operators: vec![SignedDuration::ZERO],
            happenings: vec![],
            take_over: TAKE_OVER,
            label_required: false,
            defect: None,
            seed: 0,
        }
    }
}

/// What is left after a run.
pub struct Played {
    /// The workload.
    pub workload: Workload,
    /// The server, with all that happened.
    pub server: FakeApiServer,
    /// The network, with all requests.
    pub network: Arc<Network>,
    /// The clients.
    pub clients: Clients,
    /// What happened.
    pub happenings: Vec<(u64, Happening)>,
    /// It came to its end.
    pub ended: bool,
    /// Virtual time up to there.
    pub time: Duration,
    /// Number of requests when the run was at its end and quiet.
    pub quiet_from: usize,
    /// Seconds that the longest look of an operator took, at most.
    pub looking: f64,
    /// Operators that were started.
    pub processes: usize,
    /// From the death of an operator to the next one.
    pub take_over: SignedDuration,
    /// Whether they ran experiments in namespaces that have opted in alone.
    pub label_required: bool,
    /// By how much the clocks of the operators were off at the end.
    pub skews: Vec<SignedDuration>,
    /// Panics of tasks.
    pub panics: Vec<String>,
}

/// A run may take so long, in virtual time.
const PATIENCE: Duration = Duration::from_secs(900);
/// What is under way at the end of a run ends in this time: one look at most, in which nothing is answered.
const SETTLE: Duration = Duration::from_secs(45);
/// After that nothing may happen in this time.
const QUIET: Duration = Duration::from_secs(120);

/// Plays a run in a runtime of its own.
///
/// # Panics
/// Where no runtime can be had.
pub fn play(setup: Setup) -> Played {
    fastrand::seed(setup.seed);
    sabotage(if let Some(Defect::Inside(defect)) = setup.defect { Some(defect) } else { None });
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime can be had");
    panics::heed();
    runtime.block_on(async { Lab::open(setup).run().await })
}

struct Lab {
    workload: Workload,
    server: FakeApiServer,
    network: Arc<Network>,
    clients: Clients,
    backend: Backend,
    processes: Vec<Process>,
    skews: Vec<SignedDuration>,
    take_over: SignedDuration,
    label_required: bool,
    started: usize,
    looking: f64,
    respawn: Vec<Option<Timestamp>>,
    happenings: Vec<(u64, Happening)>,
    opened: Instant,
    churn: Churn,
    /// When its objects go, once it ends.
    namespace_gone: Option<Duration>,
}

/// What a clock shows that is not off, in a laboratory that opened at this moment of virtual time.
pub fn wall(opened: Instant) -> Timestamp {
    OPENS + SignedDuration::try_from(opened.elapsed()).unwrap_or_default()
}

/// An API server with the laboratory's namespaces.
///
/// # Panics
/// Where it refuses them.
pub fn server(opened: Instant) -> FakeApiServer {
    let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], move || wall(opened));
    for namespace in [NAMESPACE, ELSEWHERE, SYSTEM] {
        let body = json!({"metadata": {"name": namespace}});
        server.call("admin", Method::POST, "/api/v1/namespaces", &body).expect("it is created");
    }
    server
}

impl Lab {
    fn open(setup: Setup) -> Self {
        let opened = Instant::now();
        let server = server(opened);
        if setup.label_required {
            let body = json!({"metadata": {"labels": {LABEL: ALLOWED}}});
            server.call("admin", Method::PATCH, SHOP, &body).expect("it opts in");
        }
        let workload = setup.workload;
        let clients = Clients::default();
        bait(&server, workload.deployment);
        let mut churn = Churn::default();
        for _ in 0..workload.clients {
            churn.come(&server, &clients, OPENS);
        }
        if let Some(min) = workload.budget {
            let body = json!({"metadata": {"name": "budget"},
                "spec": {"minAvailable": min, "selector": {"matchLabels": {"app": "backend"}}}});
            let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
            server.call("admin", Method::POST, path, &body).expect("it is created");
        }
        let network = Network::new(server.clone(), setup.plan, setup.lines, setup.defect);
        let deployment = workload.deployment.then(|| Deployment::create(&server, workload.backends));
        let backend = Backend::new(&workload, deployment);
        let mut happenings = setup.happenings;
        happenings.sort_by_key(|(at, _)| *at);
        Self {
            workload,
            server,
            network,
            clients,
            backend,
            processes: vec![],
            respawn: vec![None; setup.operators.len()],
            skews: setup.operators,
            take_over: setup.take_over,
            label_required: setup.label_required,
            started: 0,
            looking: 0.0,
            happenings,
            opened,
            churn,
            namespace_gone: None,
        }
    }

    async fn run(mut self) -> Played {
        for _ in 0..20 {
            self.step().await;
        }
        let body = self.workload.experiment("outage");
        self.server.call("admin", Method::POST, EXPERIMENTS, &body).expect("it is created");
        for number in 0..self.skews.len() {
            let process = self.start(number);
            self.processes.push(process);
        }
        let began = self.opened.elapsed();
        let happenings = self.happenings.clone();
        let mut due = happenings.iter().peekable();
        let mut ended = false;
        while self.opened.elapsed() - began < PATIENCE {
            let since = u64::try_from((self.opened.elapsed() - began).as_millis()).unwrap_or(u64::MAX);
            while let Some((_, happening)) = due.next_if(|(at, _)| *at <= since) {
                self.happen(happening);
            }
            self.step().await;
            if due.peek().is_none() && self.has_ended() {
                ended = true;
                break;
            }
        }
        let time = self.opened.elapsed() - began;
        if ended && self.workload.runs > 1 {
            while self.opened.elapsed() - began < time + ONE_MORE {
                self.step().await;
            }
        }
        // What is under way ends; then nothing may happen any more.
        let mut quiet_from = self.network.count();
        if ended && self.workload.runs == 1 {
            // Who stood still may look once more when it wakes.
            let awake = self.network.awake_from().unwrap_or(self.opened).max(Instant::now());
            while Instant::now() < awake + SETTLE {
                self.leap(Duration::from_secs(1)).await;
            }
            quiet_from = self.network.count();
            self.leap(QUIET).await;
        }
        self.looking = self.processes.iter().map(Process::looking).fold(self.looking, f64::max);
        Played {
            workload: self.workload.clone(),
            server: self.server.clone(),
            network: self.network.clone(),
            clients: self.clients.clone(),
            happenings,
            ended,
            time,
            quiet_from,
            looking: self.looking,
            processes: self.started,
            take_over: self.take_over,
            label_required: self.label_required,
            skews: self.skews.clone(),
            panics: panics::taken(),
        }
    }

    fn start(&mut self, number: usize) -> Process {
        self.started += 1;
        let (opened, fetch) = (self.opened, Arc::new(self.clients.clone()));
        let (skew, label_required) = (self.skews[number], self.label_required);
        Process::start(self.started, &self.network, fetch, move || wall(opened), skew, label_required)
    }

    async fn step(&mut self) {
        self.leap(STEP).await;
    }

    async fn leap(&mut self, time: Duration) {
        sleep(time).await;
        self.end_namespace();
        let now = wall(self.opened);
        let serves = self.backend.live(&self.server, now);
        self.churn.live(&self.server, &self.clients, now);
        self.clients.live(now, serves);
        for number in 0..self.processes.len() {
            if !self.processes[number].is_dead() {
                continue;
            }
            match self.respawn[number] {
                None => {
                    self.looking = self.looking.max(self.processes[number].looking());
                    self.respawn[number] = Some(now + self.take_over);
                }
                Some(at) if now >= at => {
                    self.respawn[number] = None;
                    self.processes[number] = self.start(number);
                }
                Some(_) => {}
            }
        }
    }

    fn has_ended(&self) -> bool {
        let kind = self.server.kinds().iter().position(|kind| kind.kind == "ChaosExperiment").unwrap_or_default();
        let state = self.server.state();
        let Some(found) = state.store.get(&(kind, NAMESPACE.into(), "outage".into())) else { return true };
        let status = &found["status"];
        status["run"]["completedAt"].is_string() && status["runs"].as_u64() >= Some(self.workload.runs)
    }
}
