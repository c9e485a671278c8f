//! The one protocol by which pods are killed, step by step against the API server: each check right before the delete holds.

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, NOT_IN_TIME, Outcome};
use breakwater_e2e::bare;
use breakwater_operator::{apply::Hands, clock::Clock, decide::Victim, halt::Halt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::events::{Recorder, Reporter},
};
use serde_json::{Value, json};

/// A namespace with one experiment in mid-hold, whose pods stay where they are: no node takes them.
struct Bench {
    experiments: Api<ChaosExperiment>,
    pods: Api<Pod>,
    hands: Hands,
}

impl Bench {
    fn new(client: Client, namespace: &str) -> Self {
        let recorder = Recorder::new(client.clone(), Reporter { controller: "e2e".into(), instance: None });
        Self {
            experiments: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            hands: Hands::new(client.clone(), recorder, Clock::system(), Halt::new(client, namespace, "halt")),
        }
    }

    async fn pod(&self, name: &str) -> Result<Pod> {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "backend"}},
            "spec": {"nodeSelector": {"no": "such-node"}, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "main", "image": "none", "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}
        });
        Ok(self.pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
    }

    /// The pod serves, as a kubelet would say it.
    async fn is_ready(&self, pod: &Pod) -> Result<()> {
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let patch = Patch::Merge(status);
        Ok(self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.map(drop)?)
    }

    /// An experiment whose status has a kill of this pod written down.
    async fn experiment(&self, name: &str, pod: &Pod) -> Result<(ChaosExperiment, Victim)> {
        self.experiment_with(name, pod, json!({})).await
    }

    /// The same, with a change to the manifest.
    async fn experiment_with(&self, name: &str, pod: &Pod, change: Value) -> Result<(ChaosExperiment, Victim)> {
        let mut manifest = json!({
            "apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": name},
            "spec": {
                "target": {"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}},
                "kill": {"gracePeriodSeconds": 0, "holdFor": "1m"},
                "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 8080, "breaker": "backend"}]},
            }
        });
        merge(&mut manifest, change);
        let mut made = self.experiments.create(&PostParams::default(), &serde_json::from_value(manifest)?).await?;
        let (at, uid) = ("2026-12-01T09:00:00Z", pod.uid().context("it has a uid")?);
        let status: Value = json!({"phase": "Killing", "run": {
            "id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "startedAt": at, "slot": 1,
            "kills": [{"slot": 1, "pod": pod.name_any(), "uid": uid, "plannedAt": at, "outcome": "Planned"}],
        }});
        made.status = Some(serde_json::from_value::<ChaosExperimentStatus>(status)?);
        let written = self.experiments.replace_status(name, &PostParams::default(), &made).await?;
        let planned_at = at.parse()?;
        let victim = Victim { slot: 1, first: true, name: pod.name_any(), uid, planned_at, deadline: Timestamp::MAX };
        Ok((written, victim))
    }

    async fn lives(&self, pod: &Pod) -> Result<bool> {
        let there = self.pods.get_opt(&pod.name_any()).await?;
        Ok(there.is_some_and(|there| there.uid() == pod.uid() && there.metadata.deletion_timestamp.is_none()))
    }

    /// The kill is not sent: the pod lives, and the outcome says why.
    async fn refused(
        &self,
        experiment: &ChaosExperiment,
        victim: &Victim,
        pod: &Pod,
        outcome: Outcome,
        words: &str,
    ) -> Result<()> {
        let attempt = self.hands.kill(experiment, victim).await;
        let message = attempt.message.unwrap_or_default();
        ensure!(attempt.outcome == outcome && message.contains(words), "{words}: {:?} {message}", attempt.outcome);
        ensure!(attempt.sent_at.is_none(), "{words}: it was sent");
        ensure!(self.lives(pod).await?, "{words}: the pod is dead");
        Ok(())
    }
}

/// As a merge patch does it.
fn merge(into: &mut Value, change: Value) {
    match change {
        Value::Object(fields) => fields.into_iter().for_each(|(key, value)| merge(&mut into[key], value)),
        value => *into = value,
    }
}

#[tokio::test]
async fn only_what_is_written_down_and_still_wanted_is_killed() {
    bare("protocol", async |client, namespace| -> Result<()> {
        let bench = Bench::new(client, namespace);
        let pod = bench.pod("backend-0").await?;
        let (experiment, victim) = bench.experiment("one", &pod).await?;

        let another = Victim { slot: victim.slot + 1, ..victim.clone() };
        bench.refused(&experiment, &another, &pod, Outcome::Failed, "not written down").await?;
        let late = Victim { deadline: Timestamp::UNIX_EPOCH, ..victim.clone() };
        bench.refused(&experiment, &late, &pod, Outcome::Failed, NOT_IN_TIME).await?;

        let suspend = |on: bool| Patch::Merge(json!({"spec": {"suspend": on}}));
        bench.experiments.patch("one", &PatchParams::default(), &suspend(true)).await?;
        bench.refused(&experiment, &victim, &pod, Outcome::Failed, "suspended").await?;
        bench.experiments.patch("one", &PatchParams::default(), &suspend(false)).await?;

        let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"app": value}}}));
        let relabelled = bench.pods.patch("backend-0", &PatchParams::default(), &label("elsewhere")).await?;
        bench.refused(&experiment, &victim, &relabelled, Outcome::Failed, "does not match it any more").await?;
        bench.pods.patch("backend-0", &PatchParams::default(), &label("backend")).await?;

        let operators = Patch::Merge(json!({"metadata": {"labels":
            {"app.kubernetes.io/component": "operator", "app.kubernetes.io/part-of": "breakwater"}}}));
        let disguised = bench.pods.patch("backend-0", &PatchParams::default(), &operators).await?;
        bench.refused(&experiment, &victim, &disguised, Outcome::Failed, "an operator's own pod").await?;
        let plain = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/component": null}}}));
        bench.pods.patch("backend-0", &PatchParams::default(), &plain).await?;

        // The pod changed since the decision; it is still the one, so it is killed.
        let attempt = bench.hands.kill(&experiment, &victim).await;
        ensure!((attempt.outcome, attempt.sent_at.is_some()) == (Outcome::Deleted, true), "{attempt:?}");
        ensure!(!bench.lives(&pod).await?, "it is dead");

        // As a StatefulSet's pod, reborn under its name.
        let reborn = bench.pod("backend-0").await?;
        bench.refused(&experiment, &victim, &reborn, Outcome::Gone, "gone when it was looked at again").await?;

        let (experiment, victim) = bench.experiment("two", &reborn).await?;
        bench.experiments.delete("two", &DeleteParams::default()).await?;
        bench.refused(&experiment, &victim, &reborn, Outcome::Failed, "the experiment is gone").await?;
        let (_, _) = bench.experiment("two", &reborn).await?;
        bench.refused(&experiment, &victim, &reborn, Outcome::Failed, "the experiment is gone").await
    })
    .await;
}

#[tokio::test]
async fn a_halt_an_abort_too_few_ready_pods_and_a_dry_run_stop_a_kill_at_the_last_moment() {
    bare("last-moment", async |client, namespace| -> Result<()> {
        let bench = Bench::new(client.clone(), namespace);
        let pod = bench.pod("backend-0").await?;
        bench.is_ready(&pod).await?;
        let (experiment, victim) = bench.experiment("one", &pod).await?;

        let halts: Api<ConfigMap> = Api::namespaced(client, namespace);
        let halt = json!({"metadata": {"name": "halt"}, "data": {"halt": "true"}});
        halts.create(&PostParams::default(), &serde_json::from_value(halt)?).await?;
        bench.refused(&experiment, &victim, &pod, Outcome::Failed, "ConfigMap halt").await?;
        halts.delete("halt", &DeleteParams::default()).await?;

        let change =
            async |patch: Value| bench.experiments.patch("one", &PatchParams::default(), &Patch::Merge(patch)).await;
        change(json!({"metadata": {"annotations": {breakwater_crds::ABORT: "now"}}})).await?;
        bench.refused(&experiment, &victim, &pod, Outcome::Failed, "aborted").await?;
        change(json!({"metadata": {"annotations": {breakwater_crds::ABORT: null}}})).await?;

        // The spec of a run that is under way stands still, so each of these is an experiment of its own.
        let target = json!({"spec": {"target": {"minAvailable": 1}}});
        let (few, victim) = bench.experiment_with("few", &pod, target).await?;
        bench.refused(&few, &victim, &pod, Outcome::Blocked, "1 target pods are ready").await?;
        let (dry, victim) = bench.experiment_with("dry", &pod, json!({"spec": {"dryRun": true}})).await?;
        bench.refused(&dry, &victim, &pod, Outcome::DryRun, "dryRun").await?;
        let owned = json!({"spec": {"target": {"workload": {"kind": "ReplicaSet", "name": "backend"}}}});
        let (owned, victim) = bench.experiment_with("owned", &pod, owned).await?;
        bench.refused(&owned, &victim, &pod, Outcome::Failed, "spec.target.workload").await?;

        // With another ready pod beside it, it may go.
        let second = bench.pod("backend-1").await?;
        bench.is_ready(&second).await?;
        let attempt = bench.hands.kill(&few, &Victim { uid: pod.uid().context("uid")?, ..victim }).await;
        ensure!(attempt.outcome == Outcome::Deleted);
        ensure!(!bench.lives(&pod).await? && bench.lives(&second).await?);
        Ok(())
    })
    .await;
}
