//! Whom a run kills and by which way, from the examples that people are given.

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Outcome, Reason, Verdict};
use breakwater_e2e::{SOON, lab, run_of, wait::until};
use kube::ResourceExt;

use crate::check;

#[tokio::test]
async fn half_of_a_workloads_pods_are_evicted_and_the_client_does_not_mind() {
    lab("half", &["demo.backend.replicas=4"], async |lab| -> Result<()> {
        // A pod that matches the selector and belongs to nobody is not the workload's.
        let stray = lab.pod_like("app=backend", "stray").await?;
        let before = lab.uids("app=backend,pod-template-hash").await?;
        lab.apply_example("half-the-pods").await?;
        let status = lab.complete("half-the-pods").await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?} {:?}", status.reason, status.message);
        let run = run_of(&status)?;
        let first: Vec<_> = run.kills.iter().filter(|kill| kill.slot == run.first_slot || kill.slot == 1).collect();
        ensure!(first.len() == 2 || run.kills_dropped > 0, "half of four: {first:?}");
        ensure!(run.blast_radius == 2 && run.spared.len() == 2, "{run:?}");
        ensure!(
            run.killed > 3 && run.kills.iter().any(|kill| kill.outcome == Outcome::Evicted),
            "{} killed",
            run.killed
        );
        let after = lab.uids("app=backend").await?;
        ensure!(before.iter().filter(|uid| after.contains(uid)).count() == 2, "two of the four are still there");
        ensure!(after.contains(&stray), "the stray pod is still there");
        ensure!(run.disturbances.is_empty(), "{:?}", run.disturbances);
        Ok(())
    })
    .await;
}

const EVICT: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: evict}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {method: Evict, gracePeriodSeconds: 0, holdFor: 5s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
";

#[tokio::test]
async fn a_pod_disruption_budget_holds_and_its_refusal_is_told() {
    lab("budget", &["demo.backend.replicas=2"], async |lab| -> Result<()> {
        let budget = ["create", "poddisruptionbudget", "all-of-them", "--selector=app=backend", "--min-available=2"];
        lab.kubectl(&budget, "").await?.text()?;
        until("the budget is in force", SOON, async || {
            let healthy = ["get", "pdb", "all-of-them", "-o", "jsonpath={.status.currentHealthy}"];
            Ok((lab.kubectl(&healthy, "").await?.text()? == "2").then_some(()))
        })
        .await?;
        let before = lab.uids("app=backend").await?;
        lab.apply(EVICT).await?;
        let status = lab.complete("evict").await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Inconclusive), Some(Reason::KillBlocked)),
            "{:?}",
            status.message
        );
        let kills = &run_of(&status)?.kills;
        ensure!(kills.len() == 2 && kills.iter().all(|kill| kill.outcome == Outcome::Blocked), "{kills:?}");
        let message = kills[0].message.as_deref().context("it says why")?;
        ensure!(message.contains("all-of-them") && message.contains("needs 2 healthy pods"), "{message}");
        ensure!(lab.uids("app=backend").await? == before, "nothing was evicted");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_rolling_restart_replaces_every_pod_and_is_awaited() {
    let values = ["demo.backend.replicas=2", "rbac.rolloutRestart=true"];
    lab("rollout", &values, async |lab| -> Result<()> {
        let before = lab.uids("app=backend").await?;
        lab.apply_example("deployment").await?;
        let status = lab.complete("deployment").await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?} {:?}", status.reason, status.message);
        let run = run_of(&status)?;
        ensure!(run.kills.len() == 1 && run.kills[0].outcome == Outcome::Restarted, "{:?}", run.kills);
        let after = lab.pods_with("app=backend").await?;
        ensure!(after.iter().all(|pod| !before.contains(&pod.uid().unwrap_or_default())), "every pod is a new one");
        check::transitions_are_the_clients_own(lab, &status).await
    })
    .await;
}

#[tokio::test]
async fn a_rehearsal_kills_nothing_and_names_who_would_be_killed() {
    lab("rehearsal", &["demo.backend.replicas=2"], async |lab| -> Result<()> {
        let before = lab.uids("app=backend").await?;
        lab.apply_example("rehearsal").await?;
        let status = lab.complete("rehearsal").await?;
        ensure!((status.verdict, status.reason) == (Some(Verdict::DryRun), Some(Reason::WouldKill)), "{status:?}");
        let kills = &run_of(&status)?.kills;
        ensure!(kills.len() == 1 && kills[0].outcome == Outcome::DryRun && before.contains(&kills[0].uid), "{kills:?}");
        ensure!(status.message.as_deref().is_some_and(|said| said.contains(&kills[0].pod)), "{:?}", status.message);
        ensure!(lab.uids("app=backend").await? == before, "nothing was killed");
        let table = lab.kubectl(&["get", "chaosexp"], "").await?.text()?;
        ensure!(table.contains("DryRun"), "{table}");
        // With a short time to live it takes itself away.
        let brief = r#"{"spec":{"ttlAfterFinished":"1s"}}"#;
        lab.kubectl(&["patch", "chaosexp", "rehearsal", "--type=merge", "-p", brief], "").await?.text()?;
        let is_gone = async |name: &str| Ok(lab.experiments().get_opt(name).await?.is_none().then_some(()));
        until("the experiment is gone", SOON, async || is_gone("rehearsal").await).await?;
        // And with one from the start nobody has to touch it again.
        let manifest = include_str!("../../../crds/examples/rehearsal.yaml");
        let brief =
            manifest.replace("name: rehearsal", "name: brief").replace("ttlAfterFinished: 1h", "ttlAfterFinished: 1s");
        lab.apply(&brief).await?;
        until("the other one is gone by itself", 2 * SOON, async || is_gone("brief").await).await
    })
    .await;
}
