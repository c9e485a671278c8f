//! The one protocol by which pods are killed, step by step against the API server: each check right before the delete holds.

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, Outcome};
use breakwater_e2e::bare;
use breakwater_operator::{apply::Hands, clock::Clock, decide::Victim, halt::Halt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
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

    /// An experiment whose status has a kill of this pod written down.
    async fn experiment(&self, name: &str, pod: &Pod) -> Result<(ChaosExperiment, Victim)> {
        let manifest = json!({
            "apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": name},
            "spec": {
                "target": {"selector": {"matchLabels": {"app": "backend"}}, "pods": {"all": {}}},
                "kill": {"gracePeriodSeconds": 0, "holdFor": "1m"},
                "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 8080, "breaker": "backend"}]},
            }
        });
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
        let attempt = self.hands.kill(experiment, victim).await.context("it is settled")?;
        let message = attempt.message.unwrap_or_default();
        ensure!(attempt.outcome == outcome && message.contains(words), "{words}: {:?} {message}", attempt.outcome);
        ensure!(attempt.sent_at.is_none(), "{words}: it was sent");
        ensure!(self.lives(pod).await?, "{words}: the pod is dead");
        Ok(())
    }
}

#[tokio::test]
async fn only_what_is_written_down_and_still_wanted_is_killed() {
    bare("protocol", async |client, namespace| -> Result<()> {
        let bench = Bench::new(client, namespace);
        let pod = bench.pod("backend-0").await?;
        let (experiment, victim) = bench.experiment("one", &pod).await?;

        let another = Victim { uid: "11111111-2222-3333-4444-555555555555".into(), ..victim.clone() };
        bench.refused(&experiment, &another, &pod, Outcome::Failed, "not written down").await?;
        let late = Victim { deadline: Timestamp::UNIX_EPOCH, ..victim.clone() };
        bench.refused(&experiment, &late, &pod, Outcome::Failed, "not sent in time").await?;

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
        let attempt = bench.hands.kill(&experiment, &victim).await.context("it is settled")?;
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
