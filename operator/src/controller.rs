//! One look at an experiment: get it afresh → look at the world → decide → write the status → do the effects.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is measured how long a look takes")]

use std::{borrow::Cow, sync::Arc, time::Duration};

use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, Outcome};
use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc, future::join_all, stream};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PostParams,
    core::DeserializeGuard,
    runtime::{
        Config, Controller, Predicate, WatchStreamExt,
        controller::{self, Action},
        predicates, reflector,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::time::Instant;

use crate::{
    apply::Hands,
    clock::Clock,
    decide::{self, Attempt, Decision, Notice, Victim},
    error::{Error, in_time},
    metrics::Metrics,
    observe::{Observer, PAGE},
    turns::Turns,
    world::World,
};

/// After a failed look the experiment is looked at again after this time.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// A kill whose outcome is not known yet is looked into again after this time.
const AFTER_UNKNOWN: Duration = Duration::from_millis(500);
/// How often the outcome of a kill is written anew when somebody else has written in between, or the API server does not answer.
const WRITES: usize = 5;
/// The Events of one look may take so long.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);
/// Kills of one set that are sent side by side.
const KILLS_AT_ONCE: usize = 16;
/// One look may take so long, however many of its requests are not answered.
const LOOK_LIMIT: Duration = Duration::from_secs(45);
/// Experiments that are looked at side by side.
pub const LOOKS_AT_ONCE: usize = 16;
/// Looks that are made or wait for their turn; more would take memory, and have to wait all the same.
const WAITING: u16 = 1024;
/// So many looks a second are made for no other reason than that time has passed: where more experiments than 200 are active, each
/// waits longer for its own. What happens is looked at at once.
const LOOKS_A_SECOND: u32 = 100;
/// Where `kubectl apply` keeps the whole manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Guarded = DeserializeGuard<ChaosExperiment>;

/// What the looks share.
pub struct Context {
    /// Client for reads and status writes.
    pub client: Client,
    /// The operator's eyes.
    pub observer: Observer,
    /// The operator's hands.
    pub hands: Hands,
    /// What a look gets its time from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whose turn it is to be looked at.
    pub turns: Turns,
}

/// The experiments that the operator knows of. `listed` is called once their first list has arrived; the store's own
/// `wait_until_ready` wakes one waiter only, and the controller is that one.
pub fn watch(
    client: Client,
    namespace: Option<&str>,
    listed: impl Fn() + Send + 'static,
) -> (Store<Guarded>, impl Stream<Item = watcher::Result<Guarded>> + Send + 'static) {
    let experiments: Api<Guarded> =
        namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let (reader, writer) = reflector::store();
    let stream = watcher(experiments, watcher::Config::default().page_size(PAGE))
        .default_backoff()
        .modify(trim)
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                listed();
            }
        })
        .applied_objects()
        // Own status writes are no reason to look again; the annotation that ends a run is.
        .predicate_filter(predicates::generation.combine(predicates::annotations), Default::default());
    (reader, stream)
}

/// Of what is only known from the watch, what says when to look is kept: a look reads the experiment afresh.
fn trim(experiment: &mut Guarded) {
    experiment.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut experiment.meta_mut().annotations {
        annotations.remove(LAST_APPLIED);
    }
    let Ok(experiment) = &mut experiment.0 else { return };
    let Some(status) = &mut experiment.status else { return };
    // Between two runs it is asked what the last one said.
    let old = status.history.len().saturating_sub(1);
    status.history.drain(..old);
    if let Some(run) = &mut status.run {
        (run.kills, run.clients, run.rounds, run.disturbances) = (vec![], vec![], vec![], vec![]);
        (run.spared, run.survivors, run.owners) = (vec![], vec![], vec![]);
    }
}

/// Looks at experiments whenever there is a reason to, until `shutdown`; looks that have begun are finished.
pub async fn run(
    context: Arc<Context>,
    (store, stream): (Store<Guarded>, impl Stream<Item = watcher::Result<Guarded>> + Send + 'static),
    bells: mpsc::UnboundedReceiver<ObjectRef<ChaosExperiment>>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let turns = context.clone();
    let shutdown = async move {
        shutdown.await;
        turns.turns.close();
    };
    Controller::for_stream(stream, store)
        .with_config(Config::default().concurrency(WAITING))
        .reconcile_on(bells.map(|experiment| key(Some(&experiment.name), experiment.namespace.as_deref())))
        .graceful_shutdown_on(shutdown)
        .run(reconcile, on_error, context.clone())
        .for_each(|result| {
            match result {
                Err(controller::Error::ObjectNotFound(experiment)) => {
                    context.observer.forget(&key(Some(&experiment.name), experiment.namespace.as_deref()));
                }
                Err(controller::Error::QueueError(error)) => {
                    tracing::warn!(%error, "the watch on experiments broke off; it is begun anew")
                }
                Ok(_) | Err(_) => {}
            }
            std::future::ready(())
        })
        .await;
}

/// An experiment by its name, whether it can be read (`ChaosExperiment`) or perhaps not (`Guarded`).
fn key<K: Resource<DynamicType = ()>>(name: Option<&str>, namespace: Option<&str>) -> ObjectRef<K> {
    ObjectRef::new(name.unwrap_or_default()).within(namespace.unwrap_or_default())
}

fn on_error(_: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    if error.is_conflict() {
        return Action::requeue(Duration::ZERO);
    }
    context.metrics.reconcile_errors.inc();
    Action::requeue(AFTER_ERROR)
}

async fn reconcile(cached: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let cached = match &cached.0 {
        Ok(experiment) => experiment,
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref();
            context.observer.forget(&key(name, invalid.metadata.namespace.as_deref()));
            tracing::warn!(experiment = name, error = invalid.error, "an experiment cannot be read; it is left alone");
            return Ok(Action::await_change());
        }
    };
    if let Some(idle) = idle(cached, &context) {
        return Ok(idle);
    }
    let holding = decide::holding(cached, context.clock.now()).map(|run| run.started_at);
    let Some(_turn) = context.turns.take(holding).await else { return Ok(Action::await_change()) };
    let started = Instant::now();
    // What is cut off is in the state of a crash, from which the next look goes on. Those who wait need no room for their look yet.
    let look = tokio::time::timeout(LOOK_LIMIT, Box::pin(look(cached, &context)));
    let result = look.await.unwrap_or(Err(Error::Timeout));
    context.metrics.reconcile_seconds.observe(started.elapsed().as_secs_f64());
    if let Err(error) = &result {
        tracing::warn!(%error, "a look at an experiment was broken off");
    }
    result
}

/// When to think of it again where nothing is due: what is known is enough then, and an idle experiment sends no request. One that has a
/// session is read, as the watch may be behind: a session that is ended too soon rings as it begins again, for ever.
fn idle(cached: &ChaosExperiment, context: &Context) -> Option<Action> {
    let now = context.clock.now();
    if decide::is_active(cached, now) || context.observer.attends(&ObjectRef::from_obj(cached)) {
        return None;
    }
    let decision = decide::decide(cached, &World::default(), now);
    (!decision.delete && cached.status.as_ref() == Some(&decision.status)).then(|| again(decision.requeue))
}

async fn look(cached: &ChaosExperiment, context: &Context) -> Result<Action, Error> {
    let (key, now) = (ObjectRef::from_obj(cached), context.clock.now());
    let namespace = cached.namespace().unwrap_or_default();
    let closed = context.observer.closed(&namespace).await?;
    // What this operator has not begun, another one may serve: it is left alone, its status too.
    if let Some(why) = closed.as_ref().filter(|_| !context.observer.attends(&key)) {
        let (reason, action, note) = ("NamespaceClosed", "Look", format!("left alone: {why}"));
        context.hands.publish(cached, &Notice { warning: true, reason, action, note }).await;
        return Ok(Action::await_change());
    }
    let experiments: Api<ChaosExperiment> = Api::namespaced(context.client.clone(), &namespace);
    let Some(experiment) = in_time(experiments.get_opt(&cached.name_any())).await? else {
        // The watch has not told of its end yet, or this answer is older than the watch.
        context.observer.forget(&key);
        return Ok(Action::requeue(AFTER_ERROR));
    };
    if is_older(&experiment, cached) {
        // Decided on it, a run that has begun since could be taken for one that has ended, and lie for ever.
        return Ok(Action::requeue(AFTER_ERROR));
    }
    let mut world = if decide::is_active(&experiment, now) {
        context.observer.look(&experiment, now).await.unwrap_or_else(|error| {
            context.metrics.reconcile_errors.inc();
            World { unseen: Some(error.to_string()), ..World::default() }
        })
    } else {
        World::default()
    };
    world.halted = world.halted.or(closed);
    let decision = decide::decide(&experiment, &world, now);
    if decision.delete {
        context.hands.remove(&experiment).await?;
        return Ok(Action::await_change());
    }
    let mut current = experiment.clone();
    if experiment.status.as_ref() != Some(&decision.status) {
        current.status = Some(decision.status.clone());
        current = write(&experiments, &current).await?;
        count(context, experiment.status.as_ref(), &decision.status);
    }
    if decide::running(&decision.status).is_none() {
        context.observer.forget(&key);
    } else {
        context.observer.attend(key);
    }
    let requeue = decision.requeue;
    let unknown = do_effects(context, &experiments, &current, decision).await?;
    if unknown {
        return Ok(Action::requeue(AFTER_UNKNOWN));
    }
    Ok(again(if requeue == Some(decide::LOOK_AGAIN) { Some(pace(context.observer.active())) } else { requeue }))
}

/// Whether one version was written before the other, as far as that can be told.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
fn is_older(one: &ChaosExperiment, other: &ChaosExperiment) -> bool {
    let revision = |of: &ChaosExperiment| of.resource_version()?.parse::<u64>().ok();
    revision(one).zip(revision(other)).is_some_and(|(one, other)| one < other)
}

/// When to look again where nothing is due.
fn pace(active: usize) -> Duration {
    let turn = Duration::from_secs(1) / LOOKS_A_SECOND;
    decide::LOOK_AGAIN.max(turn.saturating_mul(u32::try_from(active).unwrap_or(u32::MAX)))
}

fn again(requeue: Option<Duration>) -> Action {
    requeue.map_or_else(Action::await_change, Action::requeue)
}

/// Does the effects and writes the outcomes of kills down. True if one has no outcome yet.
async fn do_effects(
    context: &Context,
    experiments: &Api<ChaosExperiment>,
    experiment: &ChaosExperiment,
    decision: Decision,
) -> Result<bool, Error> {
    let mut notices = decision.notices;
    let kill = async |victim: Victim| (context.hands.kill(experiment, &victim).await, victim);
    // How many are left is counted before each kill, so with minAvailable they go one after the other.
    let at_once = if experiment.spec.target.min_available > 0 { 1 } else { KILLS_AT_ONCE };
    let kills: Vec<_> = stream::iter(decision.kills).map(kill).buffered(at_once).collect().await;
    let unknown = kills.iter().any(|(attempt, _)| attempt.is_none());
    let mut attempts = Vec::new();
    for (attempt, victim) in kills.into_iter().filter_map(|(attempt, victim)| Some((attempt?, victim))) {
        // A budget that goes on to forbid a kill is told once.
        if !is_blocked(experiment, &victim) || attempt.outcome != Outcome::Blocked {
            context.metrics.killed(&victim, &attempt);
            let (outcome, message) = (attempt.outcome, attempt.message.as_deref());
            tracing::info!(
                experiment = experiment.name_any(),
                pod = victim.name,
                uid = victim.uid,
                slot = victim.slot,
                ?outcome,
                message,
                "kill"
            );
            // Of a held outage the first set is told: the status has the rest.
            if victim.first || attempt.outcome == Outcome::Failed {
                notices.push(Notice::killed(&victim, &attempt));
            }
        }
        attempts.push(attempt);
    }
    let recorded = record(experiments, experiment, &attempts).await;
    // Events are for people: slow ones do not hold up the next kill.
    let events = join_all(notices.iter().map(|notice| context.hands.publish(experiment, notice)));
    if tokio::time::timeout(EVENTS_LIMIT, events).await.is_err() {
        tracing::warn!(experiment = experiment.name_any(), "events were not published in time");
    }
    recorded.map(|()| unknown)
}

fn is_blocked(experiment: &ChaosExperiment, victim: &Victim) -> bool {
    let kills = experiment.run().map_or(&[][..], |run| &run.kills);
    kills.iter().any(|kill| (&kill.uid, kill.slot, kill.outcome) == (&victim.uid, victim.slot, Outcome::Blocked))
}

/// Outcomes belong to the run that planned the kills, whoever else has written to the status meanwhile. Nobody else knows them,
/// so a write that fails is tried again.
async fn record(
    experiments: &Api<ChaosExperiment>,
    experiment: &ChaosExperiment,
    attempts: &[Attempt],
) -> Result<(), Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let planned_by = experiment.run().map(|run| run.id);
    let mut trouble = Error::Contended;
    let mut read = Cow::Borrowed(experiment);
    for _ in 0..WRITES {
        // What was read stays as it is: it is tried with again where the next read fails.
        let mut told = ChaosExperiment::clone(&read);
        let run = told.status.as_mut().and_then(|status| status.run.as_mut());
        let Some(run) = run.filter(|run| Some(run.id) == planned_by) else { return Ok(()) };
        decide::outcomes(run, attempts);
        if told.run() == read.run() {
            return Ok(());
        }
        match write(experiments, &told).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => {}
            Err(error) => {
                trouble = error;
                tokio::time::sleep(AFTER_UNKNOWN).await;
            }
        }
        match in_time(experiments.get_opt(&experiment.name_any())).await {
            Ok(Some(fresh)) => read = Cow::Owned(fresh),
            Ok(None) => return Ok(()),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

/// Replaces the status on condition that nobody has written since it was read.
async fn write(experiments: &Api<ChaosExperiment>, experiment: &ChaosExperiment) -> Result<ChaosExperiment, Error> {
    in_time(experiments.replace_status(&experiment.name_any(), &PostParams::default(), experiment)).await
}

fn count(context: &Context, before: Option<&ChaosExperimentStatus>, after: &ChaosExperimentStatus) {
    let was = before.and_then(|status| status.run.as_ref()).map_or(&[][..], |run| &run.clients);
    for replica in after.run.iter().flat_map(|run| &run.clients) {
        let recorded =
            was.iter().find(|old| old.uid == replica.uid && old.client == replica.client && old.epoch == replica.epoch);
        let seq = recorded.map_or(0, |old| old.seq);
        for transition in replica.transitions.iter().filter(|transition| transition.seq > seq) {
            context.metrics.transitions.get_or_create(&transition.to.into()).inc();
        }
    }
    let ended = |status: &ChaosExperimentStatus| status.run.as_ref().is_some_and(|run| run.completed_at.is_some());
    if let Some(verdict) = after
        .verdict
        .filter(|_| ended(after) && !before.is_some_and(|before| ended(before) && before.runs == after.runs))
    {
        context.metrics.runs.get_or_create(&verdict.into()).inc();
        context.metrics.summary(after.summary.as_ref());
    }
    let missed = |status: &ChaosExperimentStatus| status.missed_runs;
    context.metrics.missed_starts.inc_by(missed(after).saturating_sub(before.map_or(0, missed)));
}
