//! What people, controllers and clocks do around an operator that is at work.

use std::{sync::atomic::Ordering, time::Duration};

use axum::http::Method;
use breakwater_operator::scope::LABEL;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{EXPERIMENTS, Lab, NAMESPACE, PODS, SHOP, wall};
use crate::{
    backend::backend_pods,
    clients::Manner,
    process::{HALT, SYSTEM},
};

/// From the moment that a namespace begins to end until its objects are gone.
const ENDING: Duration = Duration::from_millis(1500);

/// What happens around the operator, at a moment after the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// `spec.suspend` is set.
    Suspend,
    /// The annotation that ends a run is set.
    Abort,
    /// The halt's ConfigMap is there.
    Halt,
    /// A pod of the backend goes out of the selector.
    Relabel(usize),
    /// Somebody else deletes a pod of the backend.
    Delete(usize),
    /// A pod of the backend gets a critical priority's mark: the mirror annotation.
    Exempt(usize),
    /// The backend is to have so many pods.
    Scale(usize),
    /// A client's process starts anew.
    RestartClient(usize),
    /// All clients answer like this.
    ClientsAre(Manner),
    /// The clocks of all operators jump by so many seconds.
    Jump(i64),
    /// The server forgets old revisions.
    Compact,
    /// The experiment is deleted.
    DeleteExperiment,
    /// It is deleted and created again.
    RecreateExperiment,
    /// Somebody edits what may be edited in mid-run.
    Edit,
    /// Where there is a cron and no run under way, somebody writes another one.
    Reschedule,
    /// The namespace takes no part in experiments any more.
    OptOut,
    /// The namespace begins to end, and its objects go a while later.
    EndNamespace,
    /// An object is there that no operator can read.
    Undecodable,
    /// The first operator is killed.
    KillOperator,
    /// Somebody writes a client's pod into the status as planned to be killed.
    Forge,
    /// So many client replicas go, one after the other, and another comes for each.
    Churn(usize),
}

impl Lab {
    pub(super) fn happen(&mut self, happening: &Happening) {
        let outage = format!("{EXPERIMENTS}/outage");
        let patch = |path: &str, body: Value| drop(self.server.call("user", Method::PATCH, path, &body));
        let pod = |which: usize| {
            let pods = backend_pods(&self.server);
            let name = pods.get(which).and_then(|pod| pod["metadata"]["name"].as_str()).unwrap_or("none");
            format!("{PODS}/{name}")
        };
        match happening {
            Happening::Suspend => patch(&outage, json!({"spec": {"suspend": true}})),
            Happening::Abort => patch(&outage, json!({"metadata": {"annotations": {breakwater_crds::ABORT: ""}}})),
            Happening::Halt => {
                let body = json!({"metadata": {"name": HALT}, "data": {"halt": "true"}});
                let path = format!("/api/v1/namespaces/{SYSTEM}/configmaps");
                drop(self.server.call("user", Method::POST, &path, &body));
            }
            Happening::Relabel(which) => patch(&pod(*which), json!({"metadata": {"labels": {"app": "elsewhere"}}})),
            Happening::Exempt(which) => {
                patch(&pod(*which), json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}));
            }
            Happening::Delete(which) => {
                let body = json!({"gracePeriodSeconds": 0});
                drop(self.server.call("user", Method::DELETE, &pod(*which), &body));
            }
            Happening::Scale(replicas) => self.backend.replicas = *replicas,
            Happening::RestartClient(which) => self.clients.restart(*which),
            Happening::ClientsAre(manner) => self.clients.behave(manner),
            Happening::Jump(seconds) => {
                for (process, skew) in self.processes.iter().zip(&mut self.skews) {
                    process.jump(SignedDuration::from_secs(*seconds));
                    *skew += SignedDuration::from_secs(*seconds);
                }
            }
            Happening::Compact => self.server.state().store.compact(),
            Happening::DeleteExperiment => drop(self.server.call("user", Method::DELETE, &outage, &Value::Null)),
            Happening::RecreateExperiment => {
                drop(self.server.call("user", Method::DELETE, &outage, &Value::Null));
                drop(self.server.call("user", Method::POST, EXPERIMENTS, &self.workload.experiment("outage")));
            }
            Happening::Forge => self.forge(),
            Happening::Churn(replicas) => self.churn.left = *replicas,
            Happening::Edit => patch(&outage, json!({"spec": {"historyLimit": 3}, "metadata": {"labels": {"a": "b"}}})),
            Happening::Reschedule if self.may_reschedule() => {
                patch(&outage, json!({"spec": {"schedule": {"cron": "*/2 * * * *"}}}));
            }
            Happening::Reschedule => {}
            Happening::OptOut => patch(SHOP, json!({"metadata": {"labels": {LABEL: null}}})),
            Happening::EndNamespace => {
                drop(self.server.call("user", Method::DELETE, SHOP, &Value::Null));
                self.namespace_gone = Some(self.opened.elapsed() + ENDING);
            }
            Happening::Undecodable => {
                let body = json!({"metadata": {"name": "broken"}, "spec": {"target": 7}});
                drop(self.server.call("user", Method::POST, EXPERIMENTS, &body));
            }
            Happening::KillOperator => {
                self.processes[0].dead.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The API server allows it between two runs alone.
    fn may_reschedule(&self) -> bool {
        let experiment = self.server.call("user", Method::GET, &format!("{EXPERIMENTS}/outage"), &Value::Null);
        experiment.is_ok_and(|experiment| {
            let run = &experiment["status"]["run"];
            experiment["spec"]["schedule"]["cron"].is_string() && (run.is_null() || run["completedAt"].is_string())
        })
    }

    /// The namespace's objects go some time after it began to end.
    pub(super) fn end_namespace(&mut self) {
        if self.namespace_gone.is_none_or(|at| self.opened.elapsed() < at) {
            return;
        }
        self.namespace_gone = None;
        let all = self.server.state().store.at(u64::MAX);
        for key in all.into_keys().filter(|(_, namespace, _)| namespace == NAMESPACE) {
            self.server.erase("namespace-controller", &key);
        }
    }

    fn forge(&self) {
        let path = format!("{EXPERIMENTS}/outage");
        let (Ok(mut experiment), Ok(client)) = (
            self.server.call("user", Method::GET, &path, &Value::Null),
            self.server.call("user", Method::GET, &format!("{PODS}/client-0"), &Value::Null),
        ) else {
            return;
        };
        let run = experiment["status"]["run"].clone();
        let Some(kills) = experiment.pointer_mut("/status/run/kills").and_then(Value::as_array_mut) else { return };
        let metadata = &client["metadata"];
        kills.push(
            json!({"plannedAt": wall(self.opened), "outcome": "Planned", "round": run["round"], "slot": run["slot"],
            "pod": metadata["name"], "uid": metadata["uid"]}),
        );
        drop(self.server.call("user", Method::PUT, &format!("{path}/status"), &experiment));
    }
}
