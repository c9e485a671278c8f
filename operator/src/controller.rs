//! One look at an experiment: get it afresh → look at the world → decide → write the status → do the effects.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is measured how long a look takes")]

use std::{sync::Arc, time::Duration};

use breakwater_crds::ChaosExperiment;
use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc};
use kube::{
    Api, Client, Resource, ResourceExt,
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
    act::{self, Acted, write},
    apply::Hands,
    clock::Clock,
    decide::{self, Notice},
    error::{Error, in_time},
    metrics::Metrics,
    observe::{Observer, PAGE},
    turns::Turns,
    world::World,
};

/// After a failed look the experiment is looked at again after this time.
const AFTER_ERROR: Duration = Duration::from_secs(1);
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

/// The experiments that the operator knows of. `listed` is called with them whenever a list of them is complete; the store's own
/// `wait_until_ready` wakes one waiter only, and the controller is that one.
pub fn watch(
    client: Client,
    namespace: Option<&str>,
    listed: impl Fn(&Store<Guarded>) + Send + 'static,
) -> (Store<Guarded>, impl Stream<Item = watcher::Result<Guarded>> + Send + 'static) {
    let experiments: Api<Guarded> =
        namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let (reader, writer) = reflector::store();
    let known = reader.clone();
    let stream = watcher(experiments, watcher::Config::default().page_size(PAGE))
        .default_backoff()
        .modify(trim)
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                listed(&known);
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
    let key = ObjectRef::from_obj(cached);
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
    // What is decided on was read before: whoever stood still meanwhile would take what others have written since for a time to come.
    let mut now = context.clock.now();
    let mut world = World::default();
    if decide::is_active(&experiment, now) {
        world = context.observer.look(&experiment, now).await.unwrap_or_else(|error| {
            context.metrics.reconcile_errors.inc();
            World { unseen: Some(error.to_string()), ..World::default() }
        });
        now = context.clock.now();
    }
    world.halted = world.halted.or(closed);
    let decision = decide::decide(&experiment, &world, now);
    if decision.delete {
        // Where the namespace has closed meanwhile, this is refused, and the next look leaves the experiment alone.
        context.observer.forget(&key);
        context.hands.remove(&experiment).await?;
        return Ok(Action::await_change());
    }
    let mut current = experiment.clone();
    if experiment.status.as_ref() != Some(&decision.status) {
        current.status = Some(decision.status.clone());
        current = write(&experiments, &current).await?;
        context.metrics.written(experiment.status.as_ref(), &decision.status);
    }
    if decide::running(&decision.status).is_none() || experiment.metadata.deletion_timestamp.is_some() {
        context.observer.forget(&key);
    } else {
        context.observer.attend(key);
    }
    let requeue = decision.requeue;
    if act::act(&context.hands, &context.metrics, &experiments, &current, decision).await? == Acted::Unsure {
        return Ok(Action::requeue(act::AFTER_UNKNOWN));
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
