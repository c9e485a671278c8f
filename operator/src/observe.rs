//! Looks at the cluster for one decision.
//!
//! What a decision is made from is listed afresh from the API server each time; only what the client replicas say comes from
//! the experiment's [`Session`]. An idle experiment has no session and so sends no request.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_breaker::wire::Cursor;
use breakwater_crds::{ChaosExperiment, Replica};
use futures::channel::mpsc;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PartialObjectMeta, PartialObjectMetaExt},
    core::{Selector, SelectorExt},
    runtime::reflector::ObjectRef,
};
use serde::de::DeserializeOwned;

use crate::{
    clock::Clock,
    decide::running,
    error::{Error, in_time},
    fetch::Fetch,
    halt::Halt,
    metrics::Metrics,
    places::Places,
    poll::Asking,
    scope::Scope,
    session::{Session, Watched},
    together::Together,
    underway::Runs,
    watches::Watches,
    workload::{self, Owners},
    world::{ClientView, Rival, Target, World, has_ended, is_ready, needed},
};

/// Objects that one request for a list may bring.
pub const PAGE: u32 = 500;

type Experiment = ObjectRef<ChaosExperiment>;

/// The operator's eyes, and the sessions of the experiments that are active.
pub struct Observer {
    client: Client,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    metrics: Arc<Metrics>,
    own_pod: Option<OwnPod>,
    halt: Halt,
    scope: Scope,
    bells: mpsc::UnboundedSender<Experiment>,
    runs: Runs,
    labels: Together<BTreeMap<String, String>>,
    watches: Watches,
    places: Places,
    sessions: Mutex<Sessions>,
}

/// The experiments that are active; one whose run has begun has a session from the first look at its pods on.
type Sessions = HashMap<Experiment, Option<Session>>;

/// The pod that the operator runs in. It is never killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Observer {
    /// An observer without a session. `bells` is told which experiments should be looked at.
    pub fn new(
        client: Client,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
        metrics: Arc<Metrics>,
        own_pod: Option<OwnPod>,
        halt: Halt,
        bells: mpsc::UnboundedSender<Experiment>,
    ) -> Self {
        Self {
            runs: Runs::new(client.clone()),
            labels: Together::default(),
            watches: Watches::new(client.clone()),
            places: Places::default(),
            scope: Scope::default(),
            sessions: Mutex::default(),
            client,
            fetch,
            clock,
            metrics,
            own_pod,
            halt,
            bells,
        }
    }

    /// From now on these namespaces are open and all others closed.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// This operator has begun a run of the experiment: it goes on with it, whatever becomes of the namespace.
    pub fn attend(&self, experiment: Experiment) {
        let mut sessions = self.sessions();
        sessions.entry(experiment).or_default();
        self.count(&sessions);
    }

    /// Ends the session of an experiment that is idle or gone.
    pub fn forget(&self, experiment: &Experiment) {
        let mut sessions = self.sessions();
        sessions.remove(experiment);
        self.count(&sessions);
    }

    /// Whether this operator, since it started, has found something to do for the experiment.
    pub fn attends(&self, experiment: &Experiment) -> bool {
        self.sessions().contains_key(experiment)
    }

    /// How many experiments are active.
    pub fn active(&self) -> usize {
        self.sessions().len()
    }

    /// One look: whether all is halted, and for a run the pods listed afresh, and what the client replicas last said.
    ///
    /// # Errors
    /// Where the API server does not answer in time.
    pub async fn look(&self, experiment: &ChaosExperiment, now: Timestamp) -> Result<World, Error> {
        let halted = self.halt.why().await?;
        // Whether a run begins is asked of nothing else; a session that is begun for it would ring at once, again and again.
        if experiment.status.as_ref().and_then(running).is_none() {
            return Ok(World { halted, ..World::default() });
        }
        let namespace = experiment.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let spec = &experiment.spec;
        let labels =
            std::iter::once(&spec.target.selector).chain(spec.observe.clients.iter().map(|client| &client.selector));
        let selectors: Vec<_> = match labels.map(selector).collect() {
            Ok(selectors) => selectors,
            Err(why) => return Ok(World { invalid: Some(why), ..World::default() }),
        };
        let found = |pod: Pod| Some((Target::from_pod(&pod, self.is_own(&namespace, &pod)), whose(pod)));
        let mut targets = every(&pods, ListParams::default().labels_from(&selectors[0]), found).await?;
        let mut listed = Vec::new();
        for selector in &selectors[1..] {
            listed.push(list(&pods, selector).await?);
        }
        if let Some(workload) = &spec.target.workload {
            targets = owned(Owners::new(self.client.clone(), &namespace, workload), targets).await?;
        }
        let workload = match spec.target.workload.as_ref().filter(|_| spec.restarts_workload()) {
            Some(workload) => workload::view(self.client.clone(), &namespace, workload).await?,
            None => None,
        };
        Ok(World {
            invalid: workload.as_ref().and_then(|workload| workload.refusal.clone()),
            workload,
            rivals: self.rivals(experiment, &namespace, &targets).await?,
            halted,
            targets: targets.into_iter().map(|(target, _)| target).collect(),
            clients: self.hear(experiment, selectors, &listed, now),
            unseen: None,
        })
    }

    /// Other experiments with a run under way that would kill some of these pods. Once a run has begun to kill, others wait for it.
    async fn rivals(
        &self,
        experiment: &ChaosExperiment,
        namespace: &str,
        targets: &[Found],
    ) -> Result<Vec<Rival>, Error> {
        let run = experiment.status.as_ref().and_then(running);
        if run.is_none_or(|run| run.ticket.is_none() || run.baseline_at.is_some()) {
            return Ok(vec![]);
        }
        let others = self.runs.of(namespace).await?;
        let kills_some = |other: &LabelSelector| {
            let matches = |selector: Selector| targets.iter().any(|(_, pod)| selector.matches(pod.labels()));
            experiment.spec.target.selector == *other || selector(other).is_ok_and(matches)
        };
        let others = others.iter().filter(|other| Some(&other.uid) != experiment.metadata.uid.as_ref());
        let rivals = others.filter(|other| kills_some(&other.selector)).map(|other| Rival {
            name: other.name.clone(),
            uid: other.uid.clone(),
            ticket: other.ticket,
        });
        Ok(rivals.collect())
    }

    /// Why nothing is to be done in a namespace, as it is labelled now.
    ///
    /// # Errors
    /// Where the API server does not say.
    pub async fn closed(&self, namespace: &str) -> Result<Option<String>, Error> {
        let labels = if self.scope.asks_for_label(namespace) {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            let read = async {
                let namespace = in_time(namespaces.get(namespace)).await?;
                Ok::<_, Error>(namespace.metadata.labels.unwrap_or_default())
            };
            self.labels.read(namespace, read).await?
        } else {
            BTreeMap::new()
        };
        Ok(self.scope.refusal(namespace, &labels))
    }

    fn hear(
        &self,
        experiment: &ChaosExperiment,
        selectors: Vec<Selector>,
        pods: &[Vec<Pod>],
        now: Timestamp,
    ) -> Vec<ClientView> {
        let recorded = experiment.run().map_or(&[][..], |run| &run.clients);
        let cursor = |client: &str, pod: &Pod| {
            let replica = recorded.iter().find(|replica| is_of(replica, client, pod))?;
            Some(Cursor { epoch: replica.epoch, seq: replica.seq })
        };
        let observe = &experiment.spec.observe;
        let watched = observe.clients.iter().zip(pods).map(|(client, pods)| {
            let pods = pods.iter().map(|pod| (pod, cursor(&client.name, pod)));
            pods.filter(|(pod, cursor)| is_ready(pod) || cursor.is_some() && !has_ended(pod)).collect::<Vec<Watched>>()
        });
        let watched: Vec<_> = watched.collect();
        let mut sessions = self.sessions();
        let session = self.session(&mut sessions, experiment, selectors);
        let views = session.hear(&observe.clients, observe.interval.as_std(), &watched, now);
        self.count(&sessions);
        views
    }

    /// The experiment's session; a new one if it has none, or if the one there is belongs to another experiment of that name.
    fn session<'a>(
        &self,
        sessions: &'a mut Sessions,
        experiment: &ChaosExperiment,
        selectors: Vec<Selector>,
    ) -> &'a mut Session {
        let key = ObjectRef::from_obj(experiment);
        let session = sessions.entry(key).or_default();
        if session.as_ref().is_some_and(|session| !session.is_of(experiment)) {
            *session = None;
        }
        session.get_or_insert_with(|| {
            let asking = Asking {
                fetch: self.fetch.clone(),
                places: self.places.of(&experiment.namespace().unwrap_or_default()),
                clock: self.clock.clone(),
                metrics: self.metrics.clone(),
            };
            Session::begin(experiment, selectors, &self.watches, asking, self.bells.clone())
        })
    }

    fn is_own(&self, namespace: &str, pod: &Pod) -> bool {
        let own = self.own_pod.as_ref();
        own.is_some_and(|own| own.namespace == namespace && Some(&own.name) == pod.metadata.name.as_ref())
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, sessions: &Sessions) {
        self.metrics.active.set(i64::try_from(sessions.len()).unwrap_or(i64::MAX));
    }
}

fn is_of(replica: &Replica, client: &str, pod: &Pod) -> bool {
    replica.client == client && Some(&replica.uid) == pod.metadata.uid.as_ref()
}

/// The selector as the API server takes it.
///
/// # Errors
/// In words, where it is empty or has an expression that is none: the API server refuses both, but an older schema may not
/// have.
pub fn selector(labels: &LabelSelector) -> Result<Selector, String> {
    let selector = Selector::try_from(labels.clone()).map_err(|error| format!("a selector cannot be used: {error}"))?;
    if selector.selects_all() {
        return Err("a selector is empty: it would mean every pod of the namespace".into());
    }
    Ok(selector)
}

/// All pods that match, read from the API server's store and not from its cache; of each what is [`needed`].
///
/// # Errors
/// Where the API server does not answer in time.
pub async fn list(pods: &Api<Pod>, selector: &Selector) -> Result<Vec<Pod>, Error> {
    every(pods, ListParams::default().labels_from(selector), |pod| Some(needed(pod))).await
}

/// What `keep` makes of all objects of a kind, page by page.
///
/// # Errors
/// Where the API server does not answer in time.
pub async fn every<K: Clone + DeserializeOwned + Debug, T>(
    api: &Api<K>,
    params: ListParams,
    keep: impl Fn(K) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = in_time(api.list(&params)).await?;
        found.extend(page.items.into_iter().filter_map(&keep));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

async fn owned(mut owners: Owners<'_>, found: Vec<Found>) -> Result<Vec<Found>, Error> {
    let mut own = Vec::new();
    for (target, pod) in found {
        if owners.own(&pod).await? {
            own.push((target, pod));
        }
    }
    Ok(own)
}

/// A target, and of its pod what says whose it is: a selector may match thousands.
type Found = (Target, PartialObjectMeta<Pod>);

fn whose(pod: Pod) -> PartialObjectMeta<Pod> {
    let Pod { metadata: ObjectMeta { labels, owner_references, .. }, .. } = pod;
    ObjectMeta { labels, owner_references, ..ObjectMeta::default() }.into_request_partial()
}
