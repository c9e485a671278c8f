//! A cluster in virtual time around `decide`: a Deployment that replaces its pods, clients with real breakers, an API server
//! that takes a status only whole, and an operator that may die at any moment.

mod client;

use std::{collections::BTreeMap, time::Duration};

use breakwater_breaker::{Cursor, Settings, State};
use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, Method, Outcome, Pods, Replica, Run};
use breakwater_operator::{
    apply,
    decide::{Attempt, Victim, decide, is_active, is_finished, outcomes},
    observe::selector,
    world::{ClientView, Rival, Target, WorkloadView, World},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference, Time},
};
use kube::core::SelectorExt;
use uuid::Uuid;

pub use client::Client;

/// One step of virtual time.
pub const STEP: Duration = Duration::from_millis(50);

/// What befalls the operator in one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Somebody else wrote the status first: nothing is written, nothing is done.
    Conflict,
    /// It dies after the status was written, before the effects.
    DeadBeforeEffects,
    /// It dies after the effects, before their outcomes are written.
    DeadAfterEffects,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub uid: String,
    pub ready_at: Timestamp,
    /// Without those that the Deployment gives, it is not the Deployment's.
    pub labels: BTreeMap<String, String>,
    /// The version of the Deployment that it is of.
    pub version: u32,
    pub exempt: bool,
}

impl Pod {
    /// As the API server has it.
    fn object(&self, now: Timestamp) -> v1::Pod {
        let set = format!("set-{}", self.version);
        let owner = OwnerReference { uid: set.clone(), name: set, controller: Some(true), ..OwnerReference::default() };
        let ready = if self.ready_at <= now { "True" } else { "False" };
        let since = Timestamp::from_second(self.ready_at.as_second()).map(Time).ok();
        let ready = v1::PodCondition {
            type_: "Ready".into(),
            status: ready.into(),
            last_transition_time: since,
            ..v1::PodCondition::default()
        };
        v1::Pod {
            metadata: ObjectMeta {
                name: Some(self.uid.clone()),
                uid: Some(self.uid.clone()),
                resource_version: Some("1234567890".into()),
                labels: Some(self.labels.clone()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            // What is critical to the cluster is never killed.
            spec: Some(v1::PodSpec {
                node_name: Some("node1".into()),
                priority: self.exempt.then_some(2_000_000_000),
                ..v1::PodSpec::default()
            }),
            status: Some(v1::PodStatus { conditions: Some(vec![ready]), ..v1::PodStatus::default() }),
        }
    }
}

/// What a selector means: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements>
pub fn selects(asked: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut equal = asked.match_labels.iter().flatten();
    let meets = |requirement: &LabelSelectorRequirement| {
        let value = labels.get(&requirement.key);
        let among = value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
        match requirement.operator.as_str() {
            "In" => among,
            "NotIn" => !among,
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    };
    equal.all(|(key, value)| labels.get(key) == Some(value)) && asked.match_expressions.iter().flatten().all(meets)
}

/// The most pods that may be killed at a time, of so many that the selector selects.
pub fn at_most(pods: &Pods, of: usize) -> usize {
    match pods {
        Pods::All(_) => of,
        Pods::One(_) => 1,
        Pods::Fixed(count) => *count as usize,
        Pods::Percent(share) | Pods::RandomUpToPercent(share) => of * *share as usize / 100,
    }
}

/// Labels that the selector selects, if any do.
pub fn template(selector: &LabelSelector) -> BTreeMap<String, String> {
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    let wanted = selector.match_expressions.iter().flatten().filter_map(|one| match one.operator.as_str() {
        "In" => Some((one.key.clone(), one.values.as_ref()?.first()?.clone())),
        "Exists" => Some((one.key.clone(), "there".into())),
        _ => None,
    });
    equal.chain(wanted).collect()
}

pub struct Sim {
    pub experiment: ChaosExperiment,
    pub now: Timestamp,
    pub pods: Vec<Pod>,
    pub clients: Vec<Client>,
    /// Pods that the Deployment wants.
    pub replicas: usize,
    /// From the creation of a pod to its readiness.
    pub start_up: Duration,
    /// Every pod that was deleted by the operator, with the moment.
    pub killed: Vec<(String, Timestamp)>,
    /// What was wrong with them: whom nothing allows to kill, or more in one look than asked for.
    pub wrong: Vec<String>,
    /// A PodDisruptionBudget keeps so many pods ready; evictions that would leave fewer are refused.
    pub budget: usize,
    /// Other experiments with a run under way and targets in common.
    pub rivals: Vec<Rival>,
    /// The operator-wide halt.
    pub halted: bool,
    /// A policy refuses every kill.
    pub refuses: bool,
    /// The Deployment's own version; a restart makes another, and its pods are replaced one by one.
    pub version: u32,
    restarted_at: Option<Timestamp>,
    /// The operator has deleted the experiment.
    pub deleted: bool,
    /// Every status that was written, in order.
    pub written: Vec<ChaosExperimentStatus>,
    pub looks: usize,
    /// There is no operator at this time.
    pub absent: bool,
    due: Timestamp,
    born: u64,
    /// What the Deployment gives its pods.
    template: BTreeMap<String, String>,
}

impl Sim {
    /// A backend of so many pods and so many clients that all is well with.
    pub fn new(manifest: &str, pods: usize, clients: usize) -> Self {
        let now: Timestamp = "2026-12-01T09:00:00Z".parse().unwrap();
        let mut sim = Self::of(serde_saphyr::from_str(manifest).unwrap(), now, pods);
        let client = sim.experiment.spec.observe.clients[0].clone();
        for number in 0..clients {
            let calls = (Duration::from_secs(3), 2);
            let mut client = Client::new(&client, &format!("client-{number}"), Settings::default(), calls, now);
            client.next_call = now + SignedDuration::from_millis(100 + 700 * number as i64);
            sim.clients.push(client);
        }
        sim
    }

    /// The world of an experiment that is applied now, to so many pods that are ready.
    pub fn of(mut experiment: ChaosExperiment, now: Timestamp, pods: usize) -> Self {
        experiment.metadata.uid = Some(Uuid::from_u128(7).to_string());
        experiment.metadata.generation = Some(1);
        experiment.metadata.resource_version = Some("1000".into());
        let template = template(&experiment.spec.target.selector);
        let mut sim = Self {
            experiment,
            now,
            pods: vec![],
            clients: vec![],
            replicas: pods,
            start_up: Duration::from_millis(1500),
            killed: vec![],
            wrong: vec![],
            budget: 0,
            rivals: vec![],
            halted: false,
            refuses: false,
            version: 1,
            restarted_at: None,
            deleted: false,
            written: vec![],
            looks: 0,
            absent: false,
            due: now,
            born: 0,
            template,
        };
        sim.replace_pods();
        sim.pods.iter_mut().for_each(|pod| pod.ready_at = now);
        sim
    }

    pub fn status(&self) -> &ChaosExperimentStatus {
        self.experiment.status.as_ref().expect("it was looked at")
    }

    pub fn run(&self) -> &Run {
        self.status().run.as_ref().expect("it runs")
    }

    /// Nothing is due.
    pub fn is_idle(&self) -> bool {
        self.due.duration_since(self.now) > SignedDuration::from_secs(600)
    }

    pub fn is_complete(&self) -> bool {
        is_finished(&self.experiment)
    }

    /// Clients that make no call at all.
    pub fn silence_traffic(&mut self) {
        self.clients.iter_mut().for_each(|client| client.calls_backend = false);
    }

    /// The client's process starts anew.
    pub fn restart(&mut self, client: usize) {
        self.clients[client].restart(self.now);
    }

    /// Time goes on without an operator; the new one begins with no answer of any client.
    pub fn operator_away(&mut self, time: Duration) {
        self.absent = true;
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.step(Fault::None);
        }
        self.absent = false;
        self.clients.iter_mut().for_each(|client| client.unheard = true);
        self.look(Fault::None);
        self.clients.iter_mut().for_each(|client| client.unheard = false);
    }

    /// Up to the first set of kills, which is written down and not sent.
    pub fn plan(&mut self) {
        while self.experiment.status.is_none() || self.run().slot == 0 {
            assert!(self.looks < 1000, "no kill was planned: {:?}", self.experiment.status);
            self.look(Fault::DeadBeforeEffects);
        }
    }

    /// Goes on until the experiment is complete; `limit` is virtual time.
    pub fn complete(&mut self, limit: Duration) -> &ChaosExperimentStatus {
        self.until(limit, Sim::is_complete);
        self.status()
    }

    /// Goes on until the condition holds.
    pub fn until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let end = self.now + SignedDuration::try_from(limit).unwrap();
        while !condition(self) {
            assert!(self.now < end, "not within {limit:?}: {:#?}", self.experiment.status);
            self.step(Fault::None);
        }
    }

    /// The wall clock jumps, for everybody.
    pub fn jump(&mut self, by: SignedDuration) {
        self.now += by;
        self.clients.iter_mut().for_each(|client| client.jump(by));
        for pod in &mut self.pods {
            pod.ready_at += by;
        }
        self.due = self.now;
    }

    /// One step of time; if there is reason to look, the operator looks.
    pub fn step(&mut self, fault: Fault) {
        let before = self.shape();
        self.now += SignedDuration::try_from(STEP).unwrap();
        self.replace_pods();
        for client in &mut self.clients {
            client.live(self.now, self.pods.iter().any(|pod| pod.ready_at <= self.now && pod.labels == self.template));
        }
        if !self.absent && (self.shape() != before || self.now >= self.due) {
            self.look(fault);
        }
    }

    fn shape(&self) -> (Vec<(String, bool)>, Vec<State>) {
        let pods = self.pods.iter().map(|pod| (pod.uid.clone(), pod.ready_at <= self.now)).collect();
        (pods, self.clients.iter().map(|client| client.breaker.state()).collect())
    }

    /// Those of the Deployment.
    fn own(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.labels == self.template)
    }

    fn replace_pods(&mut self) {
        while self.own().count() < self.replicas {
            self.born += 1;
            let ready_at = self.now + SignedDuration::try_from(self.start_up).unwrap();
            let uid = format!("pod-{}", self.born);
            let labels = self.template.clone();
            self.pods.push(Pod { uid, ready_at, labels, version: self.version, exempt: false });
        }
        // A rolling update takes one old pod away at a time, while all others are ready.
        let all_ready = self.own().all(|pod| pod.ready_at <= self.now);
        let is_old = |pod: &Pod| pod.version < self.version && pod.labels == self.template;
        if let Some(old) = self.pods.iter().position(is_old).filter(|_| all_ready) {
            self.pods.remove(old);
        }
    }

    /// Pods beside the target's, each of which but for one requirement is selected: of these none may ever be killed.
    pub fn add_strangers(&mut self) {
        let selector = self.experiment.spec.target.selector.clone();
        let keys = selector.match_labels.iter().flatten().map(|(key, value)| (key, Some(value)));
        let more = selector.match_expressions.iter().flatten();
        let keys = keys.chain(more.map(|one| (&one.key, one.values.as_ref().and_then(|values| values.first()))));
        let values = keys.flat_map(|(key, value)| {
            let other = value.map_or("other".into(), |value| format!("{value}-other"));
            [(key, None), (key, Some(other)), (key, value.cloned()), (key, Some("there".into()))]
        });
        for (key, value) in values {
            let mut labels = self.template.clone();
            labels.remove(key);
            labels.extend(value.map(|value| (key.clone(), value)));
            if selects(&selector, &labels) || self.pods.iter().any(|pod| pod.labels == labels) {
                continue;
            }
            let uid = format!("stranger-{}", self.pods.len());
            self.pods.push(Pod { uid, ready_at: self.now, labels, version: self.version, exempt: false });
        }
    }

    /// Somebody else deletes a pod.
    pub fn lose_pod(&mut self, uid: &str) {
        self.pods.retain(|pod| pod.uid != uid);
    }

    /// How many pods there are that the target's selector means.
    fn selected(&self) -> usize {
        self.pods.iter().filter(|pod| selects(&self.experiment.spec.target.selector, &pod.labels)).count()
    }

    fn ready(&self) -> usize {
        self.own().filter(|pod| pod.ready_at <= self.now).count()
    }

    pub fn world(&mut self) -> World {
        let spec = &self.experiment.spec;
        let all = std::iter::once(&spec.target.selector).chain(spec.observe.clients.iter().map(|one| &one.selector));
        let of_target = match all.map(selector).collect::<Result<Vec<_>, _>>() {
            Ok(mut selectors) => selectors.remove(0),
            Err(why) => return World { invalid: Some(why), ..World::default() },
        };
        let listed = self.pods.iter().filter(|pod| of_target.matches(&pod.labels));
        let targets = listed.map(|pod| Target::from_pod(&pod.object(self.now), false)).collect();
        let recorded = self.experiment.run().map(|run| run.clients.clone());
        let now = self.now;
        let mut view = |of: &str| {
            let mine = self.clients.iter_mut().filter(|client| client.of == of);
            let replicas = mine.map(|client| {
                let is_it = |replica: &&Replica| replica.uid == client.uid && replica.client == client.of;
                let cursor = recorded.iter().flatten().find(is_it);
                client.view(cursor.map(|replica| Cursor { epoch: replica.epoch, seq: replica.seq }), now)
            });
            ClientView { name: of.into(), replicas: replicas.collect() }
        };
        let clients = self.experiment.spec.observe.clients.iter().map(|client| view(&client.name)).collect();
        let restarts = self.experiment.spec.restarts_workload();
        let newest = self.own().filter(|pod| pod.version == self.version && pod.ready_at <= self.now).count();
        let settled = newest == self.own().count() && newest == self.replicas;
        let workload = restarts.then(|| WorkloadView {
            settled,
            restarted_at: self.restarted_at,
            refusal: None,
            target: Target::from_workload(
                "backend",
                ObjectMeta { uid: Some("deployment".into()), ..ObjectMeta::default() },
            ),
        });
        let halted = self.halted.then(|| "a ConfigMap says halt".to_string());
        World { targets, clients, workload, rivals: self.rivals.clone(), halted, invalid: None, unseen: None }
    }

    /// One look of the operator, as the controller does it.
    pub fn look(&mut self, fault: Fault) {
        self.looks += 1;
        let world = if is_active(&self.experiment, self.now) { self.world() } else { World::default() };
        let decision = decide(&self.experiment, &world, self.now);
        let again = decision.requeue.unwrap_or(Duration::from_secs(3600));
        self.due = self.now + SignedDuration::try_from(again).unwrap();
        if fault == Fault::Conflict {
            self.due = self.now;
            return;
        }
        self.write(decision.status);
        if fault == Fault::DeadBeforeEffects {
            self.due = self.now;
            return;
        }
        self.deleted |= decision.delete;
        let (pods, before) = (self.selected(), self.killed.len());
        let attempts: Vec<_> = decision.kills.iter().map(|victim| self.kill(victim)).collect();
        let (killed, most) = (self.killed.len() - before, at_most(&self.experiment.spec.target.pods, pods));
        if killed > most {
            self.wrong.push(format!("{killed} of {pods} were killed at once, and not {most}"));
        }
        if fault == Fault::DeadAfterEffects {
            self.due = self.now;
            return;
        }
        if !attempts.is_empty() {
            let mut status = self.status().clone();
            outcomes(status.run.as_mut().expect("a kill belongs to a run"), &attempts);
            self.write(status);
        }
    }

    fn write(&mut self, status: ChaosExperimentStatus) {
        if self.experiment.status.as_ref() != Some(&status) {
            self.written.push(status.clone());
            self.experiment.status = Some(status);
            let version = 1000 + self.written.len();
            self.experiment.metadata.resource_version = Some(version.to_string());
        }
    }

    /// What the kill protocol does, with its checks right before the kill.
    fn kill(&mut self, victim: &Victim) -> Attempt {
        let attempt = |outcome, sent_at| {
            let (slot, uid) = (victim.slot, victim.uid.clone());
            Attempt { slot, uid, sent_at, outcome, message: None }
        };
        if self.now > victim.deadline || self.refuses {
            return attempt(Outcome::Failed, None);
        }
        let spec = &self.experiment.spec;
        let method = spec.kill.as_ref().map_or(Method::Delete, |kill| kill.method);
        if method == Method::RolloutRestart {
            if spec.dry_run {
                return attempt(Outcome::DryRun, None);
            }
            self.version += 1;
            self.restarted_at = Some(victim.planned_at);
            return attempt(Outcome::Restarted, Some(self.now));
        }
        let Some(at) = self.pods.iter().position(|pod| pod.uid == victim.uid) else {
            return attempt(Outcome::Gone, None);
        };
        if apply::outside(&spec.target, &self.pods[at].object(self.now)).is_some() {
            return attempt(Outcome::Failed, None);
        }
        let is_ready = self.pods[at].ready_at <= self.now;
        if is_ready && self.ready() <= spec.target.min_available as usize {
            return attempt(Outcome::Blocked, None);
        }
        if spec.dry_run {
            return attempt(Outcome::DryRun, None);
        }
        if method == Method::Evict && is_ready && self.ready() <= self.budget {
            return attempt(Outcome::Blocked, None);
        }
        let pod = self.pods.remove(at);
        if pod.exempt || !selects(&spec.target.selector, &pod.labels) {
            self.wrong.push(format!("{} was killed, with the labels {:?}", pod.uid, pod.labels));
        }
        self.killed.push((victim.uid.clone(), self.now));
        let done = if method == Method::Evict { Outcome::Evicted } else { Outcome::Deleted };
        attempt(done, Some(self.now))
    }
}
