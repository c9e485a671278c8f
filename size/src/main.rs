//! `cargo bench-operator`: the whole program at several sizes, and what it takes.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use breakwater_size::{
    ControlPlane, OPERATOR, Operator, Plan, Town, audit, ensure_passed, on_an_island, peer,
    run::{Figures, Mark},
    wait::{a_while, now},
};
use clap::Parser;
use jiff::SignedDuration;

/// Prints how late kills are and what the operator takes, at several sizes, on an API server of its own.
#[derive(Parser)]
#[command(name = "cargo bench-operator", bin_name = "cargo bench-operator")]
struct Args {
    /// Folder with etcd and kube-apiserver
    #[arg(long, env = "BREAKWATER_PROGRAMS")]
    programs: PathBuf,
    /// The operator's program
    #[arg(long, env = "BREAKWATER_OPERATOR")]
    operator: PathBuf,
    /// How many experiments run at the same time, one size after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
    sizes: Vec<usize>,
    /// Experiments that idle beside them
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Pods under one selector beside them
    #[arg(long, default_value_t = 5_000)]
    crowd: usize,
    /// The starts of one size are spread over so many seconds; 0: all in the same moment
    #[arg(long, default_value_t = 60)]
    spread: i64,
    /// Seconds that each outage is held
    #[arg(long, default_value_t = 5)]
    hold: u64,
    /// Seconds of idling in which requests are counted
    #[arg(long, default_value_t = 60)]
    idling: u64,
}

/// Runs share a namespace, so many of them.
const A_NAMESPACE: usize = 50;
/// Kills by the plain way.
const PLAIN_KILLS: usize = 20;

fn main() -> ExitCode {
    let args = Args::parse();
    match on_an_island(async || bench(&args).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: &Args) -> Result<()> {
    let plane = ControlPlane::start(&args.programs).await?;
    let town = Town::found(plane.client.clone()).await?;
    town.quarter("crowd").await?;
    town.crowd("crowd", args.crowd).await?;
    town.quarter("idle").await?;
    town.idle("idle", args.idle).await?;
    let plain = peer::kubectl_delete(&args.programs, &plane, &town, PLAIN_KILLS).await?;
    println!(
        "beside it: {PLAIN_KILLS} kills by `kubectl delete pod`, one after the other, took {:.0?} / {:.0?} / {:.0?} (p50 / p99 / max) and \
         {:.1} requests each",
        plain.took.p50, plain.took.p99, plain.took.max, plain.requests
    );
    let kubeconfig = plane.kubeconfig(OPERATOR)?;
    let log = plane.folder().join("operator.log");
    let operator = Operator::start(&args.operator, &kubeconfig, &log).await?;
    operator.at_rest().await?;
    let from = Mark::set(&plane, &operator)?;
    a_while(Duration::from_secs(args.idling)).await;
    let idling = from.requests(&plane)?;
    let taken = operator.taken()?;
    println!(
        "{} idle experiments, {} pods beside them: {} requests in {} s, {:.0} MiB resident ({:.0} at the peak, of the first list)",
        args.idle,
        args.crowd,
        idling.iter().filter(|one| one.verb != "watch").count(),
        args.idling,
        taken.resident_mib,
        taken.peak_mib
    );
    println!(
        "\n| runs at once | start late p50 / p99 / max (p50 of kubectl's) | replacement killed after p50 / p99 / max | passed | kills | given up | requests a run | memory at its peak | CPU a run |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut base: Option<f64> = None;
    let mut sound = true;
    for (step, size) in args.sizes.iter().enumerate() {
        let names: Vec<_> = (0..size.div_ceil(A_NAMESPACE)).map(|number| format!("runs-{step}-{number}")).collect();
        for name in &names {
            town.quarter(name).await?;
        }
        let from = Mark::set(&plane, &operator)?;
        let begin = now() + SignedDuration::from_secs(10 + *size as i64 / 20);
        let spread = |number: usize| SignedDuration::from_millis(args.spread * 1000 * number as i64 / *size as i64);
        town.running(&names, *size, Plan::Outage(Duration::from_secs(args.hold)), |number| {
            Some(begin + spread(number))
        })
        .await?;
        let all = town.complete(&names, *size, Duration::from_secs(900)).await?;
        if let Some(error) = all.iter().find_map(|one| ensure_passed(one).err()) {
            eprintln!("  not all runs passed: {error:#}");
        }
        let figures = Figures::of(&all, &town, &plane, &operator, &from)?;
        let per_run = figures.requests_a_run();
        let ratio = per_run / *base.get_or_insert(per_run);
        let (start, again, taken) = (figures.start, figures.replacement, figures.taken);
        println!(
            "| {size} | {:.0?} / {:.0?} / {:.0?} ({:.2}) | {:.0?} / {:.0?} / {:.0?} | {} | {} | {} | {per_run:.0} ({ratio:.2} of the first) | {:.0} MiB | {:.0?} |",
            start.p50,
            start.p99,
            start.max,
            start.p50.as_secs_f64() / plain.took.p50.as_secs_f64(),
            again.p50,
            again.p99,
            again.max,
            figures.passed,
            figures.kills,
            figures.given_up,
            taken.peak_mib,
            taken.cpu / *size as u32
        );
        sound &= figures.passed == *size;
        for (what, count) in audit::count(&figures.requests) {
            eprintln!("  {what}: {:.1} a run", count as f64 / *size as f64);
        }
    }
    ensure!(sound, "not all runs passed: see above");
    Ok(())
}
