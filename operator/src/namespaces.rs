//! One controller for all namespaces, or one for each that is named: rights in a namespace do not allow a watch on all of them.
//! With one for all, a watch says which namespaces have opted in or out, so that experiments there are looked at again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use breakwater_crds::ChaosExperiment;
use futures::{
    StreamExt,
    channel::mpsc,
    future::{Either, join_all, select},
};
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
use tokio_util::sync::CancellationToken;

use crate::{
    controller::{self, Context},
    scope::{ALLOWED, LABEL, Scope},
};

type Experiment = ObjectRef<ChaosExperiment>;

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
        let one_less = move || {
            // A watch that is begun anew lists again.
            if first.swap(0, Ordering::Relaxed) == 1 && unlisted.fetch_sub(1, Ordering::Relaxed) == 1 {
                listed();
            }
        };
        let (door, rung) = mpsc::unbounded();
        let watched = controller::watch(client.clone(), place, one_less);
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

/// Rings for the experiments of a namespace that opts in or out. What was missed while the watch was broken off is made up for by
/// ringing for all: those that have nothing to do send no request.
async fn follow_labels(
    client: Client,
    experiments: Store<DeserializeGuard<ChaosExperiment>>,
    door: mpsc::UnboundedSender<Experiment>,
) {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let config = watcher::Config::default().labels(&format!("{LABEL}={ALLOWED}"));
    let ring = |namespace: Option<String>| {
        let known = experiments.state();
        let there = known.iter().filter(|one| namespace.is_none() || one.meta().namespace == namespace);
        for one in there.filter_map(|one| Some((one.meta().name.clone()?, one.meta().namespace.clone()?))) {
            drop(door.unbounded_send(ObjectRef::new(&one.0).within(&one.1)));
        }
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
