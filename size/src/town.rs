//! Those who live in the cluster: pods that are said to be ready, experiments that idle, and experiments that run, each with a target
//! of its own that is replaced when it is killed and a client that calls it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperiment, Verdict};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        rbac::v1::ClusterRoleBinding,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

use crate::{
    NEIGHBOUR, OPERATOR, OPT_IN,
    clients::{Clients, PORT},
    island::address,
    wait::{Progress, a_while, now, until},
};

/// Requests that the town itself has under way at a time.
const AT_ONCE: usize = 24;
/// From a target pod's end to its replacement's readiness.
const REPLACE: Duration = Duration::from_secs(1);
/// By this label the pods of targets are known, its value is the experiment's number.
const TARGET: &str = "size.breakwater.dev/target";
/// Something new is served after this time at the latest.
const SERVED: Duration = Duration::from_secs(60);

/// The town.
pub struct Town {
    client: Client,
    clients: Clients,
    pods: AtomicUsize,
    ends: Arc<Ends>,
}

/// What the runs of a town do, and for how long.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// The only pod of the target is killed, and what replaces it too: the breaker must open and close.
    Outage(Duration),
    /// One of two pods is killed, once: the breaker must stay Closed.
    Calm(Duration),
}

/// What became of the pods of targets, by their uids.
#[derive(Default)]
struct Ends(Mutex<HashMap<String, Killed>>);

/// A pod of a target.
#[derive(Clone, Debug)]
pub struct Killed {
    /// Whose target it is of.
    pub experiment: usize,
    /// When it was ready.
    pub ready_at: Timestamp,
    /// When it was seen to be gone.
    pub gone_at: Option<Timestamp>,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Killed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Town {
    /// Founds it: the definition, and the operator's rights.
    ///
    /// # Errors
    /// Where the API server refuses something.
    pub async fn found(client: Client) -> Result<Arc<Self>> {
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let crd = breakwater_crds::crd();
        definitions.patch(&crd.name_any(), &PatchParams::apply("size").force(), &Patch::Apply(&crd)).await?;
        let experiments: Api<ChaosExperiment> = Api::all(client.clone());
        until("the definition is served", SERVED, async || {
            Ok(experiments.list(&ListParams::default().limit(1)).await.ok())
        })
        .await?;
        let user = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": OPERATOR},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [user(OPERATOR), user(NEIGHBOUR)]
        }))?;
        Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        let clients = Clients::start().await?;
        let town = Arc::new(Self { client, clients, pods: AtomicUsize::new(0), ends: Arc::default() });
        tokio::spawn(town.clone().replace_for_ever());
        Ok(town)
    }

    /// A namespace that takes part.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn quarter(&self, name: &str) -> Result<()> {
        let metadata = json!({"metadata": {"name": name, "labels": {OPT_IN.0: OPT_IN.1}}});
        let namespace: Namespace = serde_json::from_value(metadata)?;
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// So many pods with the label `app: crowd`.
    ///
    /// # Errors
    /// Where the API server refuses one.
    pub async fn crowd(&self, namespace: &str, count: usize) -> Result<()> {
        self.many(&format!("{count} pods under one selector"), count, async |number| {
            let labels = json!({"app": "crowd"});
            self.pod(namespace, &format!("crowd-{number}"), &labels).await.map(drop)
        })
        .await
    }

    /// So many experiments that have nothing to do: finished, suspended, scheduled for a day far off.
    ///
    /// # Errors
    /// Where the API server refuses one.
    pub async fn idle(&self, namespace: &str, count: usize) -> Result<()> {
        let experiments: Api<ChaosExperiment> = Api::namespaced(self.client.clone(), namespace);
        self.many(&format!("{count} idle experiments"), count, async |number| {
            let mut spec = spec(&format!("idle-{number}"), number, Plan::Outage(Duration::from_secs(5)));
            match number % 3 {
                0 => {}
                1 => spec["suspend"] = json!(true),
                _ => spec["schedule"] = json!({"cron": "0 4 29 2 *"}),
            }
            let name = format!("idle-{number}");
            let made = experiments.create(&PostParams::default(), &experiment(&name, &spec)?).await?;
            if number % 3 == 0 {
                let mut finished = made;
                finished.status = Some(serde_json::from_value(record(number))?);
                experiments.replace_status(&name, &PostParams::default(), &finished).await?;
            }
            Ok(())
        })
        .await
    }

    /// So many experiments, in these namespaces by turns, that begin at `at` and in the time after it.
    ///
    /// # Errors
    /// Where the API server refuses something.
    pub async fn running(
        &self,
        namespaces: &[String],
        count: usize,
        plan: Plan,
        at: impl Fn(usize) -> Option<Timestamp>,
    ) -> Result<()> {
        // Those of an earlier size have the same numbers.
        self.clients.clear();
        self.ends.lock().clear();
        let name = |number: usize| format!("run-{number}");
        let place = |number: usize| namespaces[number % namespaces.len()].as_str();
        self.many(&format!("{count} targets and clients"), count, async |number| {
            let name = format!("client-{number}");
            let pod = self.pod(place(number), &name, &json!({"app": name})).await?;
            let uid = pod.uid().unwrap_or_default();
            self.clients.add(number, &uid);
            if matches!(plan, Plan::Calm(_)) {
                self.target(place(number), number).await?;
            }
            self.target(place(number), number).await
        })
        .await?;
        self.many(&format!("{count} experiments"), count, async |number| {
            let mut spec = spec(&name(number), number, plan);
            if let Some(at) = at(number) {
                spec["schedule"] = json!({"at": at, "startingDeadline": "10m"});
            }
            let experiments: Api<ChaosExperiment> = Api::namespaced(self.client.clone(), place(number));
            experiments.create(&PostParams::default(), &experiment(&name(number), &spec)?).await?;
            Ok(())
        })
        .await
    }

    /// The experiments of these namespaces that are to run, as the API server's cache has them.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn runs(&self, namespaces: &[String]) -> Result<Vec<ChaosExperiment>> {
        let mut all = Vec::new();
        for namespace in namespaces {
            let experiments: Api<ChaosExperiment> = Api::namespaced(self.client.clone(), namespace);
            let list = experiments.list(&ListParams::default().match_any()).await?;
            all.extend(list.items.into_iter().filter(|one| one.name_any().starts_with("run-")));
        }
        Ok(all)
    }

    /// These, once all of them are complete.
    ///
    /// # Errors
    /// Where they are not within `limit`.
    pub async fn complete(&self, namespaces: &[String], count: usize, limit: Duration) -> Result<Vec<ChaosExperiment>> {
        let mut progress = Progress::of(format!("{count} runs"));
        let done = until("all runs are complete", limit, async || {
            // Many are asked for less often: the town is not what is measured.
            a_while(Duration::from_secs(2 + count as u64 / 100)).await;
            let all = self.runs(namespaces).await?;
            let ended = all.iter().filter(|one| one.run().is_some_and(|run| run.completed_at.is_some())).count();
            progress.at(ended, count);
            Ok((ended >= count).then_some(all))
        });
        let all = done.await?;
        progress.done();
        Ok(all)
    }

    /// What became of the pods of targets, by their uids.
    pub fn targets(&self) -> HashMap<String, Killed> {
        self.ends.lock().clone()
    }

    /// A client of the API server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    async fn many(&self, what: &str, count: usize, one: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
        let (mut progress, mut done) = (Progress::of(what), 0);
        let mut all = stream::iter(0..count).map(|number| one(number)).buffer_unordered(AT_ONCE);
        while let Some(()) = all.try_next().await? {
            done += 1;
            progress.at(done, count);
        }
        progress.done();
        Ok(())
    }

    /// A pod that is said to be ready.
    async fn pod(&self, namespace: &str, name: &str, labels: &Value) -> Result<Pod> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none", "ports": [{"containerPort": PORT}]}]}
        }))?;
        let made = pods.create(&PostParams::default(), &pod).await.with_context(|| name.to_owned())?;
        let status = json!({"status": {"phase": "Running", "podIP": address(number),
            "podIPs": [{"ip": address(number)}], "conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok(made)
    }

    async fn target(&self, namespace: &str, experiment: usize) -> Result<()> {
        let name = format!("target-{experiment}-{}", self.pods.load(Ordering::Relaxed));
        let labels = json!({"app": format!("target-{experiment}"), TARGET: experiment.to_string()});
        let pod = self.pod(namespace, &name, &labels).await?;
        self.clients.target(experiment, true);
        let killed = Killed { experiment, ready_at: now(), gone_at: None };
        self.ends.lock().insert(pod.uid().unwrap_or_default(), killed);
        Ok(())
    }

    /// The controller of all targets: for each pod that is gone another one comes.
    async fn replace_for_ever(self: Arc<Self>) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let config = watcher::Config::default().labels(TARGET);
        let mut events = std::pin::pin!(watcher(pods, config).default_backoff());
        while let Some(event) = events.next().await {
            let Ok(watcher::Event::Delete(pod)) = event else { continue };
            let Some(experiment) = pod.labels().get(TARGET).and_then(|number| number.parse().ok()) else { continue };
            if let Some(killed) = self.ends.lock().get_mut(&pod.uid().unwrap_or_default()) {
                killed.gone_at = Some(now());
            }
            self.clients.target(experiment, false);
            let (town, namespace) = (self.clone(), pod.namespace().unwrap_or_default());
            tokio::spawn(async move {
                a_while(REPLACE).await;
                if let Err(error) = town.target(&namespace, experiment).await {
                    eprintln!("a pod of target {experiment} was not replaced: {error:#}");
                }
            });
        }
    }
}

fn experiment(name: &str, spec: &Value) -> Result<ChaosExperiment> {
    Ok(serde_json::from_value(json!({"apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment",
        "metadata": {"name": name}, "spec": spec}))?)
}

fn spec(client: &str, number: usize, plan: Plan) -> Value {
    let mut spec = json!({
        "target": {"selector": {"matchLabels": {"app": format!("target-{number}")}}},
        "kill": {"gracePeriodSeconds": 0},
        "observe": {"clients": [{"name": client, "selector": {"matchLabels": {"app": format!("client-{number}")}},
            "port": PORT, "path": format!("/status/{number}"), "breaker": "backend"}]},
        "timeout": "10m"
    });
    match plan {
        Plan::Outage(hold) => {
            spec["target"]["pods"] = json!({"all": {}});
            spec["kill"]["holdFor"] = json!(format!("{}s", hold.as_secs()));
            spec["expect"] = json!({"opensWithin": "60s"});
        }
        Plan::Calm(time) => {
            spec["target"]["pods"] = json!({"one": {}});
            spec["observe"]["duration"] = json!(format!("{}s", time.as_secs()));
            spec["expect"] = json!({"staysClosed": true});
        }
    }
    spec
}

/// The status of a run that has ended, as long as an ordinary one.
fn record(number: usize) -> Value {
    let at = |second: i64| now() - SignedDuration::from_secs(3600 - second);
    let uid = |what: usize| format!("00000000-0000-4000-8000-{:012x}", number * 16 + what);
    let kill = |which: usize| {
        json!({"round": 1, "slot": which, "pod": format!("target-{number}-{which}"), "uid": uid(which), "node": "node-1",
            "resourceVersion": "123456", "plannedAt": at(which as i64), "sentAt": at(which as i64), "outcome": "Deleted"})
    };
    let kills: Vec<_> = (1..9).map(kill).collect();
    json!({
        "observedGeneration": 1, "phase": "Completed", "verdict": "Passed", "reason": "AsExpected", "runs": 1,
        "message": "every breaker opened and closed as expected",
        "run": {"id": uid(0), "seed": uid(1), "number": 1, "startedAt": at(0), "ticket": 12345, "baselineAt": at(1), "round": 1,
            "roundAt": at(1), "firstSlot": 1, "blastRadius": 1, "holdUntil": at(6), "firstKillAt": at(1),
            "completedAt": at(9), "slot": 8, "killed": 8, "kills": kills, "clients": []}
    })
}

/// Fails where the run did not pass.
///
/// # Errors
/// With what it said.
pub fn ensure_passed(one: &ChaosExperiment) -> Result<()> {
    let status = one.status.as_ref().context("it has a status")?;
    ensure!(
        status.verdict == Some(Verdict::Passed),
        "{}: {:?} {:?} {:?}",
        one.name_any(),
        status.verdict,
        status.reason,
        status.message
    );
    Ok(())
}
