//! Runs that all begin in the same moment, in one namespace.

use std::time::Duration;

use anyhow::{Result, ensure};
use breakwater_crds::{ChaosExperiment, Verdict};
use breakwater_size::{
    Plan,
    audit::count,
    run::{Figures, Mark},
    wait::now,
};
use jiff::SignedDuration;

use crate::Place;

/// A run of one pod with an outage of five seconds may ask so much: three kills of eight requests each, a look for each change of a
/// pod and each transition of a breaker, and one every other second.
const REQUESTS_A_RUN: f64 = 300.0;
/// So many.
const RUNNING: usize = 100;
/// Where the machine is too slow for so many, an outage may come out too short for its breaker: then it proves nothing, and fails nobody.
const PASSED: usize = 51;

/// They pass, read what they can share once, and kill nobody else's pods.
pub async fn pass(place: &Place) -> Result<()> {
    let Place { plane, town, operator } = place;
    town.quarter("runs").await?;
    let (from, names) = (Mark::set(plane, operator)?, vec!["runs".to_owned()]);
    let begin = now() + SignedDuration::from_secs(5 + RUNNING as i64 / 20);
    town.running(&names, RUNNING, Plan::Outage(Duration::from_secs(5)), |_| Some(begin)).await?;
    let all = town.complete(&names, RUNNING, Duration::from_secs(600)).await?;
    operator.at_rest().await?;
    let figures = Figures::of(&all, town, plane, operator, &from)?;
    let counts = count(&figures.requests);
    println!(
        "{} runs at once: {} passed, {} kills, {:.0} requests a run, {:?}",
        figures.runs,
        figures.passed,
        figures.kills,
        figures.requests_a_run(),
        figures.start
    );
    println!("{counts:?}");
    nobody_failed(&all)?;
    ensure!(figures.requests_a_run() < REQUESTS_A_RUN, "{:.0} requests a run", figures.requests_a_run());
    // Each looks for others that are ahead of it, and many share what one of them reads.
    let rivals = counts.get("list chaosexperiments").copied().unwrap_or_default();
    ensure!(rivals * 10 < figures.runs * 9, "{rivals} lists of experiments for {} runs", figures.runs);
    let watches = figures.requests.iter().filter(|one| one.verb == "watch" && one.resource == "pods").count();
    ensure!(watches < 10, "{watches} watches on the pods of one namespace");
    ensure!(figures.passed >= PASSED, "{} of {RUNNING} runs passed", figures.passed);
    Ok(())
}

/// However busy the operator was, it told of nobody what was not so.
pub fn nobody_failed(all: &[ChaosExperiment]) -> Result<()> {
    let mut verdicts = all.iter().filter_map(|one| one.status.as_ref()?.verdict);
    ensure!(
        verdicts.all(|verdict| matches!(verdict, Verdict::Passed | Verdict::Inconclusive)),
        "a run failed or was aborted"
    );
    Ok(())
}
