//! What the operator keeps going while an experiment is active: a watch on its pods, which only says when to look again, and a
//! poller for each client replica. Both end when the session is dropped.

use std::{collections::HashMap, sync::Arc};

use breakwater_breaker::wire::Cursor;
use breakwater_crds::{ChaosExperiment, Client as ClientSpec};
use futures::{StreamExt, channel::mpsc};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::PartialObjectMeta,
    core::Selector,
    runtime::{WatchStreamExt, reflector::ObjectRef, watcher},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{clock::Clock, endpoint, fetch::Fetch, metrics::Metrics, poll::Poller, world::ReplicaView};

/// Where an experiment says that it should be looked at.
#[derive(Clone)]
pub struct Bell {
    experiment: ObjectRef<ChaosExperiment>,
    channel: mpsc::UnboundedSender<ObjectRef<ChaosExperiment>>,
}

impl Bell {
    /// The bell of one experiment.
    pub fn new(
        experiment: ObjectRef<ChaosExperiment>,
        channel: mpsc::UnboundedSender<ObjectRef<ChaosExperiment>>,
    ) -> Self {
        Self { experiment, channel }
    }

    fn ring(&self) {
        // It fails only when the operator ends.
        drop(self.channel.unbounded_send(self.experiment.clone()));
    }
}

/// A replica as a member of one of the experiment's clients.
type Member = (String, String);

/// An active experiment's watch and pollers.
pub struct Session {
    uid: Option<String>,
    generation: Option<i64>,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    metrics: Arc<Metrics>,
    bell: Bell,
    pollers: HashMap<Member, Poller>,
    _stop: DropGuard,
}

impl Session {
    /// Begins to watch the pods that these selectors match.
    pub fn begin(
        experiment: &ChaosExperiment,
        selectors: Vec<Selector>,
        pods: Api<PartialObjectMeta<Pod>>,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
        metrics: Arc<Metrics>,
        bell: Bell,
    ) -> Self {
        let stop = CancellationToken::new();
        for selector in selectors {
            let (stopped, bell) = (stop.clone(), bell.clone());
            let config = watcher::Config::default().labels_from(&selector).any_semantic();
            let events = watcher(pods.clone(), config).default_backoff().for_each(move |event| {
                match event {
                    Ok(_) => bell.ring(),
                    Err(error) => tracing::warn!(%error, "the watch on pods broke off; it is begun anew"),
                }
                std::future::ready(())
            });
            tokio::spawn(async move { stopped.run_until_cancelled(events).await });
        }
        let (uid, generation) = (experiment.metadata.uid.clone(), experiment.metadata.generation);
        Self { uid, generation, fetch, clock, metrics, bell, pollers: HashMap::new(), _stop: stop.drop_guard() }
    }

    /// Whether it is this experiment's: another one of that name, or another spec, needs another session.
    pub fn is_of(&self, experiment: &ChaosExperiment) -> bool {
        (&self.uid, self.generation) == (&experiment.metadata.uid, experiment.metadata.generation)
    }

    /// What a replica last said; begins to ask it if that is not done yet. `recorded` is its cursor in the status.
    pub fn hear(
        &mut self,
        client: &ClientSpec,
        interval: std::time::Duration,
        pod: &Pod,
        recorded: Option<Cursor>,
        now: Timestamp,
    ) -> ReplicaView {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        let member = (client.name.clone(), uid.clone());
        if !self.pollers.contains_key(&member) {
            match endpoint::of(client, interval, pod) {
                Err(error) => return ReplicaView { pod: name, uid, heard_at: now, report: None, error: Some(error) },
                Ok(endpoint) => {
                    let bell = self.bell.clone();
                    let (fetch, clock) = (self.fetch.clone(), self.clock.clone());
                    let poller = Poller::start(fetch, clock, endpoint, self.metrics.clone(), now, move || bell.ring());
                    self.pollers.insert(member.clone(), poller);
                }
            }
        }
        let mailbox = &self.pollers[&member].mailbox;
        if let Some(cursor) = recorded {
            mailbox.recorded(cursor);
        }
        let heard = mailbox.read();
        ReplicaView { pod: name, uid, heard_at: heard.at, report: heard.report, error: heard.error }
    }

    /// Stops to ask replicas that are not among these pods any more.
    pub fn keep(&mut self, client: &str, pods: &[&Pod]) {
        let there = |uid: &str| pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid));
        self.pollers.retain(|(name, uid), _| name != client || there(uid));
    }
}
