//! An operator as a process that can die.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use breakwater_operator::{
    clock::Clock,
    fetch::Fetch,
    metrics::Metrics,
    observe::OwnPod,
    operator::{self, Identity, Outside},
    scope::Scope,
};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use tokio::{sync::watch, task::JoinHandle};

use crate::net::Network;

/// Where the operators' own pods live.
pub const SYSTEM: &str = "breakwater-system";

/// The ConfigMap there that halts all of them.
pub const HALT: &str = "halt";

/// An operator's process.
pub struct Process {
    /// It will not do anything any more.
    pub dead: Arc<AtomicBool>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    skew: Arc<Mutex<SignedDuration>>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts one. Its wall clock shows `now` and is off by `skew`; it may run experiments in namespaces that have opted in alone.
    pub fn start(
        number: usize,
        network: &Arc<Network>,
        fetch: Arc<dyn Fetch>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        skew: SignedDuration,
        label_required: bool,
    ) -> Self {
        let (dead, metrics) = (Arc::new(AtomicBool::new(false)), Arc::new(Metrics::default()));
        let skew = Arc::new(Mutex::new(skew));
        let off = skew.clone();
        let clock = Clock::new(move || now() + *off.lock().unwrap_or_else(PoisonError::into_inner));
        let fetch = Arc::new(Awake { process: number, network: network.clone(), fetch });
        let outside = Outside {
            reads: network.client(number, &dead, true),
            effects: network.client(number, &dead, false),
            fetch,
            clock,
            metrics: metrics.clone(),
        };
        let own_pod = OwnPod { namespace: SYSTEM.into(), name: format!("operator-{number}") };
        let scope = Scope { own: Some(SYSTEM.into()), label_required, ..Scope::default() };
        let identity = Identity { scope, own_pod: Some(own_pod), halt_configmap: HALT.into(), ..Identity::default() };
        let (ready, _) = watch::channel(false);
        let task = tokio::spawn(operator::run(outside, identity, ready, std::future::pending()));
        Self { dead, metrics, skew, task }
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst) || self.task.is_finished()
    }

    /// Its clock jumps.
    pub fn jump(&self, by: SignedDuration) {
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Its longest look took so many seconds at most: the upper bound of the histogram's last bucket that grows.
    pub fn looking(&self) -> f64 {
        let text = self.metrics.text();
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix("breakwater_reconcile_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound.parse().unwrap_or(f64::INFINITY), count.parse::<u64>().ok()?))
        };
        let buckets: Vec<(f64, u64)> = text.lines().filter_map(bucket).collect();
        let all = buckets.last().map_or(0, |(_, count)| *count);
        buckets.iter().find(|(_, count)| *count == all).map_or(f64::NAN, |(bound, _)| *bound)
    }
}

/// What a process hears of clients: while it stands still, nothing.
struct Awake {
    process: usize,
    network: Arc<Network>,
    fetch: Arc<dyn Fetch>,
}

impl Fetch for Awake {
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let (process, network, fetch) = (self.process, self.network.clone(), self.fetch.clone());
        async move {
            network.awake(process).await;
            let answer = fetch.fetch(url).await;
            network.awake(process).await;
            answer
        }
        .boxed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.dead.store(true, Ordering::SeqCst);
        self.task.abort();
    }
}
