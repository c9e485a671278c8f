//! The operator among thousands: pages, silence, memory, and the right pods. `BREAKWATER_LONG=1` has more that idle.
//!
//! It wants the programs of a control plane and the operator's own, which `cargo check-all --long` brings.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperiment, Reason, Verdict};
use breakwater_size::{
    ControlPlane, OPERATOR, Operator, Town,
    audit::{Request, count},
    on_an_island,
    run::{Figures, Mark},
    wait::{a_while, now, until},
};
use jiff::SignedDuration;
use kube::{Api, api::PostParams};
use serde_json::json;

/// What the chart allows the operator, and what the documents promise.
const MEMORY_MIB: f64 = 128.0;
/// Objects that one answer may bring.
const PAGE: usize = 500;
/// A run of one pod with an outage of five seconds may ask so much: three kills of eight requests each, a look for each change of a
/// pod and each transition of a breaker, and one every other second.
const REQUESTS_A_RUN: f64 = 300.0;

/// Pods under one selector.
const CROWD: usize = 5_000;
/// Runs that begin in the same moment.
const RUNNING: usize = 100;

struct Sizes {
    idle: usize,
    idling: Duration,
}

fn sizes() -> Sizes {
    match std::env::var("BREAKWATER_LONG").as_deref() {
        Ok("1") => Sizes { idle: 10_000, idling: Duration::from_secs(60) },
        _ => Sizes { idle: 2_000, idling: Duration::from_secs(10) },
    }
}

fn path(variable: &str) -> Result<PathBuf> {
    std::env::var(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; run `cargo check-all --long`"))
}

#[test]
#[ignore = "wants an API server's program: cargo check-all --long"]
fn thousands() {
    on_an_island(async || among_thousands(&sizes()).await).unwrap();
}

async fn among_thousands(sizes: &Sizes) -> Result<()> {
    let plane = ControlPlane::start(&path("BREAKWATER_PROGRAMS")?).await?;
    let town = Town::found(plane.client.clone()).await?;
    for quarter in ["crowd", "idle", "runs"] {
        town.quarter(quarter).await?;
    }
    town.crowd("crowd", CROWD).await?;
    town.idle("idle", sizes.idle).await?;
    let log = plane.folder().join("operator.log");
    let operator = Operator::start(&path("BREAKWATER_OPERATOR")?, &plane.kubeconfig(OPERATOR)?, &log).await?;
    operator.at_rest().await?;
    let began = Mark::default().requests(&plane)?;
    let pages = began.iter().filter(|one| one.verb == "list" && one.resource == "chaosexperiments").count();
    ensure!(pages >= sizes.idle / PAGE, "{} experiments were listed in {pages} pages", sizes.idle);

    silence(sizes, &plane, &operator).await?;
    one_of_the_crowd(&plane, &operator, &town).await?;
    all_at_once(&plane, &operator, &town).await?;

    let everything = Mark::default().requests(&plane)?;
    let lists = everything.iter().filter(|one| one.verb == "list");
    let whole: Vec<_> = lists.filter(|one| !one.uri.contains("limit=")).collect();
    ensure!(whole.is_empty(), "lists without a limit: {whole:?}");
    let taken = operator.taken()?;
    println!("memory: {:.0} MiB at its peak, {:.0} now", taken.peak_mib, taken.resident_mib);
    ensure!(taken.peak_mib < MEMORY_MIB, "the operator took {:.0} MiB", taken.peak_mib);
    Ok(())
}

/// Who has nothing to do asks for nothing.
async fn silence(sizes: &Sizes, plane: &ControlPlane, operator: &Operator) -> Result<()> {
    let from = Mark::set(plane, operator)?;
    a_while(sizes.idling).await;
    let asked = from.requests(plane)?;
    // A watch that the API server ends is begun anew, every few minutes.
    let asked: Vec<&Request> = asked.iter().filter(|one| one.verb != "watch").collect();
    println!("{} idle experiments: {} requests in {:?}", sizes.idle, asked.len(), sizes.idling);
    ensure!(asked.is_empty(), "idle experiments send requests: {asked:?}");
    Ok(())
}

/// A selector that matches thousands is read page by page, and refused in words.
async fn one_of_the_crowd(plane: &ControlPlane, operator: &Operator, town: &Town) -> Result<()> {
    let from = Mark::set(plane, operator)?;
    let experiments: Api<ChaosExperiment> = Api::namespaced(town.client(), "crowd");
    let experiment = json!({
        "apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": "crowd"},
        "spec": {
            "target": {"selector": {"matchLabels": {"app": "crowd"}}, "pods": {"one": {}}},
            "kill": {"holdFor": "5s"},
            "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 80, "breaker": "b"}]},
            "timeout": "70s"
        }
    });
    experiments.create(&PostParams::default(), &serde_json::from_value(experiment)?).await?;
    let reason = until("the crowd is refused", Duration::from_secs(60), async || {
        let status = experiments.get("crowd").await?.status.unwrap_or_default();
        Ok(status.reason.filter(|reason| *reason == Reason::TooManyTargets))
    });
    reason.await?;
    let asked = from.requests(plane)?;
    let lists = asked.iter().filter(|one| one.verb == "list" && one.resource == "pods");
    let pages = lists.clone().filter(|one| one.uri.contains("continue=")).count();
    let looks = lists.count() - pages;
    println!("{CROWD} pods under one selector: {pages} further pages in {looks} lists");
    // At least the list that the watch begins from, and a look's.
    ensure!(pages >= 2 * (CROWD / PAGE - 1), "{CROWD} pods came in {pages} further pages");
    let mut over = experiments.get("crowd").await?;
    over.spec.suspend = true;
    experiments.replace("crowd", &PostParams::default(), &over).await?;
    operator.at_rest().await
}

/// All begin in the same moment, in one namespace.
async fn all_at_once(plane: &ControlPlane, operator: &Operator, town: &Town) -> Result<()> {
    let (from, names) = (Mark::set(plane, operator)?, vec!["runs".to_owned()]);
    let begin = now() + SignedDuration::from_secs(5 + RUNNING as i64 / 20);
    town.running(&names, RUNNING, Duration::from_secs(5), |_| Some(begin)).await?;
    let all = town.complete(&names, RUNNING, Duration::from_secs(600)).await?;
    operator.at_rest().await?;
    let figures = Figures::of(&all, town, plane, operator, &from)?;
    let counts = count(&figures.requests);
    println!(
        "{} runs at once: {} kills, {:.0} requests a run, {:?}",
        figures.runs,
        figures.kills,
        figures.requests_a_run(),
        figures.start
    );
    println!("{counts:?}");
    // Where the machine is too slow for so many, an outage may come out too short for its breaker: then it proves nothing, and fails nobody.
    let mut verdicts = all.iter().filter_map(|one| one.status.as_ref()?.verdict);
    ensure!(
        verdicts.all(|verdict| matches!(verdict, Verdict::Passed | Verdict::Inconclusive)),
        "a run failed or was aborted"
    );
    ensure!(figures.passed > RUNNING / 2, "{} of {RUNNING} runs passed", figures.passed);
    ensure!(figures.requests_a_run() < REQUESTS_A_RUN, "{:.0} requests a run", figures.requests_a_run());
    // Each looks for others that are ahead of it, and many share what one of them reads.
    let rivals = counts.get("list chaosexperiments").copied().unwrap_or_default();
    ensure!(rivals < figures.runs, "{rivals} lists of experiments for {} runs", figures.runs);
    let watches = figures.requests.iter().filter(|one| one.verb == "watch" && one.resource == "pods").count();
    ensure!(watches < 10, "{watches} watches on the pods of one namespace");
    Ok(())
}
