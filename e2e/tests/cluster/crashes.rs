//! The operator dies in the middle of a run.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use breakwater_crds::Verdict;
use breakwater_e2e::{RUN, SOON, lab, run_of, wait::until};
use kube::{ResourceExt, api::DeleteParams};

use crate::check;

#[tokio::test]
async fn a_new_operator_goes_on_with_the_run() {
    lab("crash", &[], async |lab| -> Result<()> {
        lab.apply_example("recovery").await?;
        let hit = lab.status("recovery", RUN, |status| status.run.as_ref().is_some_and(|run| run.killed >= 3)).await?;
        let operator = lab.pod("app.kubernetes.io/component=operator").await?;
        lab.pods().delete(&operator.name_any(), &DeleteParams::default().grace_period(0)).await?;
        until("the operator's pod is another one", SOON, async || {
            let pods = lab.pods_with("app.kubernetes.io/component=operator").await?;
            Ok(pods.iter().all(|pod| pod.uid() != operator.uid()).then_some(()))
        })
        .await?;
        let status = lab.complete("recovery").await?;
        let (before, after) = (run_of(&hit)?, run_of(&status)?);
        ensure!(
            (before.id, before.started_at, before.first_kill_at) == (after.id, after.started_at, after.first_kill_at),
            "it is the same run"
        );
        ensure!(after.slot > before.slot, "the outage was held by the new operator too");
        let killed = |run: &breakwater_crds::Run| {
            run.kills.iter().map(|kill| (kill.slot, kill.uid.clone())).collect::<BTreeSet<_>>()
        };
        ensure!(after.kills_dropped > 0 || killed(after).is_superset(&killed(before)), "what was done stays told");
        check::kills_are_told(lab, &status).await?;
        if check::passed_unless_interrupted(&status)? {
            check::opened_and_closed(&status)?;
        }
        check::transitions_are_the_clients_own(lab, &status).await
    })
    .await;
}

/// The status is the lock: two operators on one experiment kill no pod twice and record nothing twice.
#[tokio::test]
async fn two_operators_do_the_work_of_one() {
    lab("two", &[], async |lab| -> Result<()> {
        let label = "app.kubernetes.io/component=operator";
        lab.kubectl(&["scale", "deployment", "-l", label, "--replicas=2"], "").await?.text()?;
        lab.kubectl(
            &["wait", "deployment", "-l", label, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s"],
            "",
        )
        .await?
        .text()?;
        lab.apply_example("backend-outage").await?;
        let status = lab.complete("backend-outage").await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?}", status.message);
        let deleted = run_of(&status)?.killed;
        ensure!(deleted > 3, "{deleted} kills");
        check::kills_are_told(lab, &status).await?;
        check::opened_and_closed(&status)?;
        check::transitions_are_the_clients_own(lab, &status).await
    })
    .await;
}
