//! One controller for all namespaces, or one for each that is named: rights in a namespace do not allow a watch on all of them.
//! With one for all, a watch says which namespaces have opted in or out, so that experiments there are looked at again.

#![allow(clippy::disallowed_methods, reason = "the edge: here the two clocks are compared")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use breakwater_crds::ChaosExperiment;
use futures::{
    StreamExt,
    channel::mpsc,
    future::{Either, join_all, select},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    controller::{self, Context},
    scope::{ALLOWED, LABEL, Scope},
};

type Experiment = ObjectRef<ChaosExperiment>;

/// So often the wall clock is compared with the one that nobody sets.
const COMPARED_EVERY: Duration = Duration::from_secs(10);
/// By more than this it does not drift in that time.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Runs the experiments of the namespaces in scope until `stop`. `listed` is called once, when all of
/// them are known; `bells` says which experiments should be looked at.
pub async fn run(
    context: Arc<Context>,
    client: Client,
    scope: &Scope,
    listed: impl Fn() + Send + Sync + 'static,
    bells: mpsc::UnboundedReceiver<Experiment>,
    stop: CancellationToken,
) {
    let named = scope.named.iter().map(|name| Some(name.as_str()));
    let places: Vec<Option<&str>> = if scope.named.is_empty() { vec![None] } else { named.collect() };
    let (unlisted, listed) = (Arc::new(AtomicUsize::new(places.len())), Arc::new(listed));
    let (mut doors, mut controllers) = (Vec::new(), Vec::new());
    for place in places {
        let (unlisted, listed, first) = (unlisted.clone(), listed.clone(), AtomicUsize::new(1));
        let (door, rung) = mpsc::unbounded();
        let ring = door.clone();
        let one_less = move |known: &Store<_>| {
            // A watch that is begun anew lists again. What changed meanwhile was looked at while the store still had the old list, where
            // the new one has several pages.
            if first.swap(0, Ordering::Relaxed) == 0 {
                ring_for(known, &ring, |_| true);
            } else if unlisted.fetch_sub(1, Ordering::Relaxed) == 1 {
                listed();
            }
        };
        let watched = controller::watch(client.clone(), place, one_less);
        let clock = follow_clock(context.clock.clone(), watched.0.clone(), door.clone());
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(clock).await });
        if scope.follows_labels() {
            let openings = follow_labels(client.clone(), watched.0.clone(), door.clone());
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(openings).await });
        }
        controllers.push(controller::run(context.clone(), watched, rung, stop.clone().cancelled_owned()));
        doors.push((place, door));
    }
    let ring = bells.for_each(|experiment| {
        let there = |place: &Option<&str>| place.is_none_or(|place| experiment.namespace.as_deref() == Some(place));
        if let Some((_, door)) = doors.iter().find(|(place, _)| there(place)) {
            // It fails only when the controller has ended.
            drop(door.unbounded_send(experiment));
        }
        std::future::ready(())
    });
    match select(Box::pin(join_all(controllers)), Box::pin(ring)).await {
        Either::Left(_) => {}
        Either::Right((_, controllers)) => drop(controllers.await),
    }
}

/// Rings for those that are known and asked for. Those that have nothing to do send no request.
fn ring_for(
    known: &Store<DeserializeGuard<ChaosExperiment>>,
    door: &mpsc::UnboundedSender<Experiment>,
    wanted: impl Fn(Option<&str>) -> bool,
) {
    let known = known.state();
    let there = known.iter().map(|one| one.meta()).filter(|one| wanted(one.namespace.as_deref()));
    for (name, namespace) in there.filter_map(|one| one.name.as_deref().zip(one.namespace.as_deref())) {
        drop(door.unbounded_send(ObjectRef::new(name).within(namespace)));
    }
}

/// Rings for the experiments of a namespace that opts in or out. What was missed while the watch was broken off is made up for by
/// ringing for all.
async fn follow_labels(
    client: Client,
    experiments: Store<DeserializeGuard<ChaosExperiment>>,
    door: mpsc::UnboundedSender<Experiment>,
) {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let config = watcher::Config::default().labels(&format!("{LABEL}={ALLOWED}"));
    let ring = |wanted: Option<String>| {
        ring_for(&experiments, &door, |namespace| wanted.is_none() || namespace == wanted.as_deref())
    };
    let changes = watcher(namespaces, config).default_backoff().for_each(|event| {
        match event {
            Ok(watcher::Event::Apply(namespace) | watcher::Event::Delete(namespace)) => {
                ring(Some(namespace.name_any()))
            }
            Ok(watcher::Event::InitDone) => ring(None),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Err(error) => tracing::warn!(%error, "the watch on namespaces broke off; it is begun anew"),
        }
        std::future::ready(())
    });
    changes.await;
}

/// Rings for all when the wall clock was set, or the machine stood still: who waits for a moment sleeps by a clock that knows of neither.
async fn follow_clock(
    clock: Clock,
    experiments: Store<DeserializeGuard<ChaosExperiment>>,
    door: mpsc::UnboundedSender<Experiment>,
) {
    let (mut ticks, begun) = (interval(COMPARED_EVERY), Instant::now());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let difference = || {
        clock.now().duration_since(Timestamp::UNIX_EPOCH)
            - SignedDuration::try_from(begun.elapsed()).unwrap_or_default()
    };
    let mut before = difference();
    loop {
        ticks.tick().await;
        let now = difference();
        if (now - before).abs() > CLOCK_STEP {
            tracing::info!("the clock was set, or stood still; whoever waits for a moment is looked at");
            ring_for(&experiments, &door, |_| true);
        }
        before = now;
    }
}
