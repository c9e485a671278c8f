//! Runs that prove nothing say so.

use anyhow::{Result, ensure};
use breakwater_crds::{Reason, Verdict};
use breakwater_e2e::{lab, run_of};

use crate::check;

const SHORT: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: short}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {gracePeriodSeconds: 0}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
  expect: {opensWithin: 12s}
";

#[tokio::test]
async fn an_outage_too_short_never_opens_the_breaker() {
    // The seed's own retry-less client: one failure a call, so an outage of two seconds cannot make three of them.
    lab("short", &["demo.client.attempts=1"], async |lab| {
        lab.apply(SHORT).await?;
        let status = lab.complete("short").await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Inconclusive), Some(Reason::BreakerNeverOpened)),
            "{:?}",
            status.message
        );
        ensure!(check::condition(&status, "Passed") == Some("False"));
        check::kills_are_told(lab, &status).await?;
        check::transitions_are_the_clients_own(lab, &status).await?;
        ensure!(run_of(&status)?.killed == 1, "one kill");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_selector_that_matches_nothing_is_told() {
    lab("nothing", &[], async |lab| -> Result<()> {
        let manifest = SHORT
            .replace("{matchLabels: {app: backend}}", "{matchLabels: {app: bakend}}")
            .replace("  expect:", "  timeout: 15s\n  expect: {opensWithin: 10s, closesWithin: 10s} #");
        lab.apply(&manifest).await?;
        let waiting =
            lab.status("short", breakwater_e2e::SOON, |status| status.reason == Some(Reason::NoTargets)).await?;
        ensure!(check::condition(&waiting, "TargetsFound") == Some("False"));
        let status = lab.complete("short").await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Inconclusive), Some(Reason::NoTargets)),
            "{:?}",
            status.message
        );
        ensure!(run_of(&status)?.kills.is_empty());
        Ok(())
    })
    .await;
}
