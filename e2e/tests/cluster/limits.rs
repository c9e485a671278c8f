//! Whom a run may kill.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use breakwater_crds::{Outcome, Reason, Verdict};
use breakwater_e2e::{lab, run_of};

use crate::check;

const ONE: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: one}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {one: {}}}
  kill: {gracePeriodSeconds: 0, holdFor: 8s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}], duration: 10s}
  expect: {staysClosed: true}
";

#[tokio::test]
async fn one_of_three_leaves_the_others_and_the_breaker_closed() {
    lab("one", &["demo.backend.replicas=3"], async |lab| -> Result<()> {
        let before: BTreeSet<_> = lab.uids("app=backend").await?.into_iter().collect();
        lab.apply(ONE).await?;
        let status = lab.complete("one").await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Passed), Some(Reason::AsExpected)),
            "{:?}",
            status.message
        );
        check::kills_are_told(lab, &status).await?;
        let run = run_of(&status)?;
        let of_first =
            run.kills.iter().filter(|kill| before.contains(&kill.uid) && kill.outcome == Outcome::Deleted).count();
        ensure!(of_first == 1 && run.killed > 1, "{of_first} of the first pods, {} in all", run.killed);
        let after: BTreeSet<_> = lab.uids("app=backend").await?.into_iter().collect();
        ensure!(before.intersection(&after).count() == 2, "two of the three are still there");
        ensure!(run.spared.iter().cloned().collect::<BTreeSet<_>>() == before.intersection(&after).cloned().collect());
        Ok(())
    })
    .await;
}
