//! The parts of the operator, put together: all but its own HTTP server and its signals.

use std::{
    error::Error,
    net::{IpAddr, ToSocketAddrs},
    pin::pin,
    sync::Arc,
};

use futures::channel::mpsc;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    apply::Hands,
    clock::Clock,
    controller::{Context, LOOKS_AT_ONCE},
    fetch::{Fetch, Http},
    halt::Halt,
    metrics::Metrics,
    namespaces,
    observe::{Observer, OwnPod},
    requests,
    scope::Scope,
    turns::Turns,
};

/// What an operator stands on.
pub struct Outside {
    /// Client for lists and watches; it may try again by itself.
    pub reads: Client,
    /// Client for effects and status writes, which must not: what became of one whose answer is lost is looked into.
    pub effects: Client,
    /// How client replicas are asked.
    pub fetch: Arc<dyn Fetch>,
    /// The wall clock.
    pub clock: Clock,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

impl Outside {
    /// What an operator of this cluster stands on. `variable` says what the environment's variable of a name is.
    ///
    /// # Errors
    /// Where the configuration has, say, a certificate that is none.
    pub fn new(
        mut kubernetes: kube::Config,
        metrics: Arc<Metrics>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Box<dyn Error>> {
        let places = requests::places();
        let reads = requests::client(kubernetes.clone(), metrics.clone(), places.clone())?;
        // Effects are not tried again by the client: what became of one whose answer is lost is looked into.
        kubernetes.default_retry = false;
        let effects = requests::client(kubernetes, metrics.clone(), places)?;
        // Kubernetes tells every pod where its API server is.
        let api_server = variable("KUBERNETES_SERVICE_HOST").map(|host| addresses(&host)).unwrap_or_default();
        let fetch = Arc::new(Http::new()?.sparing(api_server));
        Ok(Self { reads, effects, fetch, clock: Clock::system(), metrics })
    }
}

/// Some platforms tell a name.
fn addresses(host: &str) -> Vec<IpAddr> {
    let found = host.parse().map(|address| vec![address]);
    let found = found.or_else(|_| (host, 0).to_socket_addrs().map(|all| all.map(|one| one.ip()).collect()));
    found.unwrap_or_else(|error| {
        tracing::warn!(host, %error, "the API server's name has no address: a pod that says it has that one would be asked there");
        vec![]
    })
}

/// Who an operator is.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The namespaces whose experiments it runs.
    pub scope: Scope,
    /// The pod that it runs in, which is never killed.
    pub own_pod: Option<OwnPod>,
    /// Name of the ConfigMap in that pod's namespace that halts all kills.
    pub halt_configmap: String,
    /// Whether it asks before each kill if who asked for the experiment still may.
    pub ask_for_requester: bool,
}

/// Runs experiments until `shutdown`; looks that have begun are finished. `ready` becomes true once the experiments are listed.
pub async fn run(
    outside: Outside,
    identity: Identity,
    ready: watch::Sender<bool>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let Outside { reads, effects, fetch, clock, metrics } = outside;
    let instance = identity.own_pod.as_ref().map(|pod| pod.name.clone());
    let recorder = Recorder::new(effects.clone(), Reporter { controller: "breakwater".into(), instance });
    let halt = match &identity.own_pod {
        Some(pod) => Halt::new(effects.clone(), &pod.namespace, &identity.halt_configmap),
        None => Halt::none(),
    };
    let hands = Hands::new(effects.clone(), recorder, clock.clone(), halt.clone())
        .asking_for_requester(identity.ask_for_requester);
    let (bell, bells) = mpsc::unbounded();
    let observer = Observer::new(reads.clone(), fetch, clock.clone(), metrics.clone(), identity.own_pod, halt, bell)
        .within(identity.scope.clone());
    let listed = move || {
        ready.send_replace(true);
    };
    let context =
        Arc::new(Context { client: effects, observer, hands, clock, metrics, turns: Turns::new(LOOKS_AT_ONCE) });
    let stop = CancellationToken::new();
    let mut running = pin!(namespaces::run(context, reads, &identity.scope, listed, bells, stop.clone()));
    tokio::select! {
        () = running.as_mut() => {}
        () = shutdown => {
            stop.cancel();
            running.await;
        }
    }
}
