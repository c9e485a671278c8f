//! Stopping a run, and taking things away in the middle of one.

use anyhow::{Result, ensure};
use breakwater_crds::{Outcome, Phase, Reason, Verdict};
use breakwater_e2e::{LONG, Lab, RUN, SOON, lab, run_of, wait::until};
use breakwater_operator::world::is_ready;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::DeleteParams};

async fn in_the_middle(lab: &Lab) -> Result<()> {
    lab.apply(LONG).await?;
    lab.status("long", RUN, |status| status.run.as_ref().is_some_and(|run| run.killed >= 3)).await?;
    Ok(())
}

/// A backend pod that lives long enough to be ready was not killed.
async fn backend_is_left_alone(lab: &Lab) -> Result<()> {
    until("the backend is ready again", SOON, async || {
        Ok(lab.pods_with("app=backend").await?.iter().any(is_ready).then_some(()))
    })
    .await
}

#[tokio::test]
async fn suspend_stops_the_kills_and_ends_the_run() {
    lab("suspend", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        let changed = lab
            .kubectl(&["patch", "chaosexp", "long", "--type=merge", "-p", r#"{"spec":{"timeout":"9m"}}"#], "")
            .await?;
        ensure!(!changed.ok && changed.err.contains("cannot change once the experiment has started"), "{changed:?}");
        lab.kubectl(&["patch", "chaosexp", "long", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#], "")
            .await?
            .text()?;
        let status = lab.status("long", SOON, |status| status.phase == Some(Phase::Completed)).await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Aborted), Some(Reason::Suspended)),
            "{:?}",
            status.message
        );
        ensure!(run_of(&status)?.kills.iter().all(|kill| kill.outcome != Outcome::Planned));
        backend_is_left_alone(lab).await
    })
    .await;
}

#[tokio::test]
async fn an_annotation_aborts_one_run_and_a_config_map_halts_them_all() {
    lab("stop", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        lab.kubectl(&["annotate", "chaosexp", "long", "chaos.breakwater.dev/abort=now"], "").await?.text()?;
        let status = lab.status("long", SOON, |status| status.phase == Some(Phase::Completed)).await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Aborted), Some(Reason::AbortRequested)),
            "{status:?}"
        );
        backend_is_left_alone(lab).await?;

        lab.kubectl(&["delete", "chaosexp", "long", "--timeout=10s"], "").await?.text()?;
        in_the_middle(lab).await?;
        lab.kubectl(&["create", "configmap", "breakwater-halt", "--from-literal=halt=true"], "").await?.text()?;
        let halted = lab.config_map("breakwater-halt").await?.creation_timestamp();
        let status = lab.status("long", SOON, |status| status.phase == Some(Phase::Completed)).await?;
        ensure!((status.verdict, status.reason) == (Some(Verdict::Aborted), Some(Reason::Halted)), "{status:?}");
        // The ConfigMap's own time is cut to whole seconds.
        let limit = halted.map(|at| at.0 + SignedDuration::from_secs(2));
        let late = run_of(&status)?.kills.iter().filter(|kill| kill.sent_at > limit).count();
        ensure!(late == 0, "{late} kills were sent more than a second after the halt");
        backend_is_left_alone(lab).await?;
        lab.kubectl(&["delete", "chaosexp", "long", "--timeout=10s"], "").await?.text()?;
        lab.apply(LONG).await?;
        lab.status("long", SOON, |status| status.reason == Some(Reason::Halted)).await?;
        lab.kubectl(&["delete", "configmap", "breakwater-halt"], "").await?.text()?;
        lab.status("long", RUN, |status| status.run.as_ref().is_some_and(|run| run.killed > 0)).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn an_experiment_and_its_namespace_can_be_deleted_in_mid_run() {
    lab("delete", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        lab.kubectl(&["delete", "chaosexp", "long", "--timeout=10s"], "").await?.text()?;
        backend_is_left_alone(lab).await?;
        in_the_middle(lab).await?;
        let namespaces: Api<Namespace> = Api::all(lab.client.clone());
        let uid = namespaces.get(&lab.namespace).await?.uid();
        namespaces.delete(&lab.namespace, &DeleteParams::background()).await?;
        until("the namespace is gone", SOON * 2, async || {
            let left = namespaces.get_opt(&lab.namespace).await?;
            Ok(left.is_none_or(|namespace| namespace.uid() != uid).then_some(()))
        })
        .await
    })
    .await;
}
