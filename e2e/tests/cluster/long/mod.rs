//! Minutes of it: the operator killed at chance moments, and the cluster under it stopped, changed and taken away.
//!
//! `cargo check-all --long` and `cargo e2e --long` run these, one after the other, on the local cluster, whose programs they stop.

mod changes;
mod operator;
mod standstill;
mod stop;

use anyhow::{Result, ensure};
use breakwater_crds::{ChaosExperimentStatus, Outcome, Phase};
use breakwater_e2e::{Lab, RUN, run_of};

/// A run with an outage of fifteen seconds.
pub const OUTAGE: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: outage}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {gracePeriodSeconds: 0, holdFor: 15s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
  timeout: 3m
";

/// Begins it, and waits until it has killed.
pub async fn in_the_middle(lab: &Lab) -> Result<ChaosExperimentStatus> {
    lab.apply(OUTAGE).await?;
    lab.status("outage", RUN, |status| status.run.as_ref().is_some_and(|run| run.killed >= 3)).await
}

/// It ends, whatever its verdict, as the run that it was, and each kill has its outcome.
pub async fn ends_as_it_began(lab: &Lab, before: &ChaosExperimentStatus) -> Result<ChaosExperimentStatus> {
    let status = lab.status("outage", RUN, |status| status.phase == Some(Phase::Completed)).await?;
    let (before, after) = (run_of(before)?, run_of(&status)?);
    ensure!(before.id == after.id, "it is another run");
    ensure!(after.kills.iter().all(|kill| kill.outcome != Outcome::Planned), "{:?}", after.kills);
    let mut uids: Vec<_> = after.kills.iter().map(|kill| &kill.uid).collect();
    uids.sort();
    ensure!(uids.windows(2).all(|pair| pair[0] != pair[1]), "a pod is there twice");
    println!("verdict {:?}, reason {:?}, {} kills", status.verdict, status.reason, after.killed);
    Ok(status)
}

/// A run from beginning to end shows that all is well again.
pub async fn all_is_well(lab: &Lab) -> Result<()> {
    lab.kubectl(&["delete", "chaosexp", "--all", "--timeout=30s"], "").await?.text()?;
    lab.kubectl(&["wait", "deployment", "--all", "--for=condition=Available", "--timeout=120s"], "").await?.text()?;
    lab.apply(OUTAGE).await?;
    let status = lab.complete("outage").await?;
    ensure!(status.verdict == Some(breakwater_crds::Verdict::Passed), "{:?} {:?}", status.reason, status.message);
    Ok(())
}
