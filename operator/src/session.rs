//! What the operator keeps going while an experiment is active: its part in the watch on its namespace's pods, which only says
//! when to look again, and a poller for each client replica. All of it ends when the session is dropped.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is waited between two looks")]

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use breakwater_breaker::wire::Cursor;
use breakwater_crds::{ChaosExperiment, Client as ClientSpec, MAX_REPLICAS};
use futures::channel::mpsc;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, core::Selector, runtime::reflector::ObjectRef};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    endpoint,
    poll::{Asking, Poller},
    watches::{Membership, Watches},
    world::{ClientView, ReplicaView},
};

/// However often a bell is rung, the experiment is not looked at more often than this; a first ring is told at once. A killed
/// pod changes half a dozen times on its way, and so does the one that replaces it.
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Where an experiment says that it should be looked at.
#[derive(Clone)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// The bell of one experiment, which is heard in `channel` until `stop`.
    pub fn hang(
        experiment: ObjectRef<ChaosExperiment>,
        channel: mpsc::UnboundedSender<ObjectRef<ChaosExperiment>>,
        stop: CancellationToken,
    ) -> Self {
        let rung = Arc::new(Notify::new());
        let bell = Self(rung.clone());
        let tell = async move {
            loop {
                rung.notified().await;
                // It fails only when the operator ends.
                drop(channel.unbounded_send(experiment.clone()));
                sleep(BETWEEN_LOOKS).await;
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(tell).await });
        bell
    }

    /// The experiment should be looked at.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// A replica as a member of one of the experiment's clients.
type Member = (String, String);

/// A client's pod, with its cursor in the status if it is recorded there.
pub type Watched<'a> = (&'a Pod, Option<Cursor>);

/// What goes on for an active experiment.
pub struct Session {
    uid: Option<String>,
    generation: Option<i64>,
    asking: Asking,
    bell: Bell,
    pollers: HashMap<Member, Poller>,
    _watch: Membership,
    _stop: DropGuard,
}

impl Session {
    /// Begins to watch the pods that these selectors match. The bell rings once for what changed before that.
    pub fn begin(
        experiment: &ChaosExperiment,
        selectors: Vec<Selector>,
        watches: &Watches,
        asking: Asking,
        channel: mpsc::UnboundedSender<ObjectRef<ChaosExperiment>>,
    ) -> Self {
        let stop = CancellationToken::new();
        let bell = Bell::hang(ObjectRef::from_obj(experiment), channel, stop.clone());
        let watch = watches.join(&experiment.namespace().unwrap_or_default(), selectors, bell.clone());
        bell.ring();
        let (uid, generation) = (experiment.metadata.uid.clone(), experiment.metadata.generation);
        let pollers = HashMap::new();
        Self { uid, generation, asking, bell, pollers, _watch: watch, _stop: stop.drop_guard() }
    }

    /// Whether it is this experiment's: another one of that name, or another spec, needs another session.
    pub fn is_of(&self, experiment: &ChaosExperiment) -> bool {
        (&self.uid, self.generation) == (&experiment.metadata.uid, experiment.metadata.generation)
    }

    /// What the replicas of the clients last said; `watched` has the pods of each. Begins to ask those that are not asked yet, and
    /// stops to ask what is not among them any more. Of more than [`MAX_REPLICAS`] in all, the others have an error that says so.
    pub fn hear(
        &mut self,
        clients: &[ClientSpec],
        interval: Duration,
        watched: &[Vec<Watched>],
        now: Timestamp,
    ) -> Vec<ClientView> {
        let all = clients.iter().zip(watched);
        let members = all.clone().flat_map(|(client, pods)| {
            pods.iter().map(move |(pod, recorded)| (member(client, pod), recorded.is_some()))
        });
        let asked = asked(members);
        self.pollers.retain(|member, _| asked.contains(member));
        let count: usize = watched.iter().map(Vec::len).sum();
        let too_many = format!(
            "it is not asked: of {count} client replicas {MAX_REPLICAS} can be watched: narrow the clients' selectors"
        );
        let views = all.map(|(client, pods)| {
            let replicas = pods.iter().map(|(pod, recorded)| {
                if asked.contains(&member(client, pod)) {
                    self.hear_one(client, interval, pod, *recorded, now)
                } else {
                    unheard(pod, now, too_many.clone())
                }
            });
            ClientView { name: client.name.clone(), replicas: replicas.collect() }
        });
        views.collect()
    }

    fn hear_one(
        &mut self,
        client: &ClientSpec,
        interval: Duration,
        pod: &Pod,
        recorded: Option<Cursor>,
        now: Timestamp,
    ) -> ReplicaView {
        let member = member(client, pod);
        if !self.pollers.contains_key(&member) {
            match endpoint::of(client, interval, pod) {
                Err(error) => return unheard(pod, now, error),
                Ok(endpoint) => {
                    let bell = self.bell.clone();
                    let poller = Poller::start(self.asking.clone(), endpoint, now, move || bell.ring());
                    self.pollers.insert(member.clone(), poller);
                }
            }
        }
        let mailbox = &self.pollers[&member].mailbox;
        if let Some(cursor) = recorded {
            mailbox.recorded(cursor);
        }
        let heard = mailbox.read();
        let (_, uid) = member;
        ReplicaView { pod: pod.name_any(), uid, heard_at: heard.at, report: heard.report, error: heard.error }
    }
}

fn member(client: &ClientSpec, pod: &Pod) -> Member {
    (client.name.clone(), pod.uid().unwrap_or_default())
}

/// Of all members those that are asked: no more than a run can have, and first those that it has recorded, or it would lose sight of
/// them as others come.
fn asked(members: impl Iterator<Item = (Member, bool)>) -> HashSet<Member> {
    let (recorded, new): (Vec<_>, Vec<_>) = members.partition(|(_, recorded)| *recorded);
    recorded.into_iter().chain(new).map(|(member, _)| member).take(MAX_REPLICAS).collect()
}

fn unheard(pod: &Pod, now: Timestamp, why: String) -> ReplicaView {
    ReplicaView {
        pod: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        heard_at: now,
        report: None,
        error: Some(why),
    }
}
