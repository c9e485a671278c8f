//! Stopping a run, and taking things away in the middle of one.

use anyhow::{Result, ensure};
use breakwater_crds::{ChaosExperiment, Outcome, Phase, Reason, Verdict};
use breakwater_e2e::{LONG, Lab, RUN, SOON, bare, lab, open_lab, run_of, tools::kubectl, wait::until};
use breakwater_operator::world::is_ready;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::DeleteParams};

use crate::check;

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
async fn an_experiment_can_be_deleted_in_mid_run() {
    lab("delete", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        lab.kubectl(&["delete", "chaosexp", "long", "--timeout=10s"], "").await?.text()?;
        backend_is_left_alone(lab).await
    })
    .await;
}

/// The operator has its role everywhere, and learns of the namespace by its label.
#[tokio::test]
async fn a_namespace_can_be_deleted_in_mid_run_and_its_operator_goes_on() {
    open_lab("goes-on", &["demo.enabled=true"], async |lab| {
        bare("deleted", async |_, namespace| -> Result<()> {
            for namespace in [namespace, &lab.namespace] {
                let label = "chaos.breakwater.dev/experiments=allowed";
                kubectl(&["label", "namespace", namespace, label], "").await?.text()?;
            }
            goes_on_without(lab, namespace).await
        })
        .await;
        Ok(())
    })
    .await;
}

/// The operator's role in the namespace goes with it.
#[tokio::test]
async fn a_named_namespace_can_be_deleted_in_mid_run_and_its_operator_goes_on() {
    bare("deleted", async |_, namespace| {
        let second = format!("operator.watchNamespaces[1]={namespace}");
        lab("ends", &[&second], async |lab| goes_on_without(lab, namespace).await).await;
        Ok(())
    })
    .await;
}

/// A namespace that is not the operator's own is deleted in the middle of a held outage. It goes within a minute; the operator
/// does not fall, comes to rest, and serves its own namespace.
async fn goes_on_without(lab: &Lab, namespace: &str) -> Result<()> {
    lab.demo_in(namespace).await?;
    kubectl(&["-n", namespace, "apply", "-f", "-"], LONG).await?.text()?;
    let experiments: Api<ChaosExperiment> = Api::namespaced(lab.client.clone(), namespace);
    until("the outage is held", RUN, async || {
        let run = experiments.get("long").await?.status.and_then(|status| status.run);
        Ok(run.is_some_and(|run| run.killed >= 3).then_some(()))
    })
    .await?;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    namespaces.delete(namespace, &DeleteParams::background()).await?;
    until("the namespace is gone", SOON, async || Ok(namespaces.get_opt(namespace).await?.is_none().then_some(())))
        .await?;
    comes_to_rest(lab).await?;
    lab.apply_example("backend-outage").await?;
    let status = lab.complete("backend-outage").await?;
    ensure!(status.verdict == Some(Verdict::Passed), "{:?} {:?}", status.reason, status.message);
    ensure!(check::restarts(lab).await? == 0, "the operator fell");
    Ok(())
}

/// Nothing is watched any more, and in some ten seconds no look fails and hardly a request is sent: one that turns in circles
/// sends at least one a second. A few are left for experiments of other tests, and for watches that were refused.
async fn comes_to_rest(lab: &Lab) -> Result<()> {
    let (mut looks, mut before) = (0, (0, 0));
    until("the operator comes to rest", SOON * 4, async || {
        let metrics = lab.operator_metrics().await?;
        let sum = |name: &str| -> u64 {
            let lines =
                metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| !rest.starts_with('_')));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let (active, errors) = (sum("breakwater_active_experiments"), sum("breakwater_reconcile_errors_total"));
        let requests = sum("breakwater_api_requests_total");
        if looks == 0 || active > 0 || errors > before.0 || requests > before.1 + 5 {
            ensure!(requests > 0, "no request is counted: {metrics}");
            (looks, before) = (0, (errors, requests));
        }
        looks += 1;
        ensure!(looks > 50, "{active} are watched, {errors} looks failed, {requests} requests were sent");
        Ok(Some(()))
    })
    .await
}
