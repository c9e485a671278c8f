//! One watch on the pods of each namespace in which experiments are active, however many these are. It only says when to look.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::PartialObjectMeta,
    core::{Selector, SelectorExt},
    runtime::{WatchStreamExt, watcher},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::session::Bell;

/// The watches that are needed now.
pub struct Watches {
    client: Client,
    namespaces: Mutex<HashMap<String, Weak<Watch>>>,
}

/// A namespace's watch. It ends with its last member.
struct Watch {
    members: Arc<Members>,
    next: AtomicU64,
    _stop: DropGuard,
}

#[derive(Default)]
struct Members(Mutex<HashMap<u64, (Vec<Selector>, Bell)>>);

/// A session's part in a watch; it ends when this is dropped.
pub struct Membership {
    watch: Arc<Watch>,
    number: u64,
}

impl Watches {
    /// No watch yet.
    pub fn new(client: Client) -> Self {
        Self { client, namespaces: Mutex::default() }
    }

    /// From now on the bell rings for each change of a pod that one of the selectors matches. A pod that has just ceased to
    /// match rings for nobody: it is found by the next look.
    pub fn join(&self, namespace: &str, selectors: Vec<Selector>, bell: Bell) -> Membership {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = namespaces.get(namespace).and_then(Weak::upgrade).unwrap_or_else(|| {
            namespaces.retain(|_, watch| watch.strong_count() > 0);
            let watch = Arc::new(begin(Api::namespaced(self.client.clone(), namespace)));
            namespaces.insert(namespace.into(), Arc::downgrade(&watch));
            watch
        });
        let number = watch.next.fetch_add(1, Ordering::Relaxed);
        watch.members.lock().insert(number, (selectors, bell));
        Membership { watch, number }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.watch.members.lock().remove(&self.number);
    }
}

impl Members {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Vec<Selector>, Bell)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, labels: &BTreeMap<String, String>) {
        for (selectors, bell) in self.lock().values() {
            if selectors.iter().any(|selector| selector.matches(labels)) {
                bell.ring();
            }
        }
    }

    fn ring_all(&self) {
        self.lock().values().for_each(|(_, bell)| bell.ring());
    }
}

fn begin(pods: Api<PartialObjectMeta<Pod>>) -> Watch {
    let (members, stop) = (Arc::new(Members::default()), CancellationToken::new());
    let (told, stopped) = (members.clone(), stop.clone());
    let events = watcher(pods, watcher::Config::default()).default_backoff().for_each(move |event| {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::Delete(pod)) => told.ring(pod.labels()),
            // What happened while it was broken off is not told one by one.
            Ok(watcher::Event::InitDone) => told.ring_all(),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Err(error) => tracing::warn!(%error, "the watch on pods broke off; it is begun anew"),
        }
        std::future::ready(())
    });
    tokio::spawn(async move { stopped.run_until_cancelled(events).await });
    Watch { members, next: AtomicU64::new(0), _stop: stop.drop_guard() }
}
