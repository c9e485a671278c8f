//! `cargo check-all`: everything that must hold before a change is good.

use std::hash::{BuildHasher, RandomState};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::{Choice, Cluster, Traces};
use crate::steps::Steps;
use crate::wait::Stopwatch;
use crate::workspace::{Workspace, cargo};
use crate::{command, deny, e2e, images, size};

/// Tests whose cases a seed chooses.
const BY_SEED: [&str; 4] = ["fuzz", "decide", "model", "failsafe"];
/// Each goes on with seeds that nobody chose for so long, and ends the one that it is at.
const OTHER_SEEDS: Duration = Duration::from_secs(120);

/// Arguments of `cargo check-all`.
#[derive(clap::Args)]
pub struct Args {
    /// On which cluster the end-to-end tests run
    #[arg(long, value_enum, default_value_t)]
    cluster: Choice,
    /// Also what takes hours: every fault at every step, seeds that nobody chose, thousands of experiments, the cluster under the
    /// operator stopped, changed and taken away, and the fake API server beside the real one
    #[arg(long)]
    long: bool,
}

/// Runs all steps, up to the first that fails, and prints what each took.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    e2e::ensure_own(args.cluster, args.long)?;
    let mut steps = Steps::default();
    let outcome = check(&workspace, args, &mut steps);
    println!("\n{}", steps.table());
    outcome?;
    println!("{}", if steps.all_ok() { "All is well." } else { "All that was checked is well." });
    Ok(ExitCode::SUCCESS)
}

fn check(workspace: &Workspace, args: &Args, steps: &mut Steps) -> Result<()> {
    // Tests that have more to play when there is time look at this.
    let long = if args.long { "1" } else { "0" };
    let cargo = |arguments: &[&str]| {
        let mut command = cargo();
        command::without_choices(&mut command).args(arguments).current_dir(&workspace.root);
        command.env("BREAKWATER_LONG", long);
        command
    };
    steps.run("formatting", || command::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("clippy", || {
        let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        command::run(&mut cargo(&arguments))
    })?;
    steps.run("dependencies", || deny::check(workspace))?;
    steps.check("known vulnerabilities", || deny::check_advisories(workspace))?;
    steps.run("tests", || command::run(&mut cargo(&["test", "--locked"])))?;
    steps.run("faults", || {
        let arguments =
            ["test", "--locked", "--profile", "faults", "--package", "breakwater-faults", "--", "--nocapture"];
        command::run(&mut cargo(&arguments))
    })?;
    let breaker = ["test", "--locked", "--package", "breakwater-breaker"];
    steps.run("the breaker with all its features", || command::run(cargo(&breaker).args(["--all-features"])))?;
    // With flags of its own, so that nothing else is built anew.
    steps.run("the breaker in every order of its threads", || {
        let mut loom = cargo(&breaker);
        loom.args(["--lib", "loom"]).env("RUSTFLAGS", "--cfg breaker_loom");
        command::run(loom.env("CARGO_TARGET_DIR", workspace.target.join("loom")))
    })?;
    steps.run("documentation", || {
        let arguments = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"];
        command::run(cargo(&arguments).env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    if args.long {
        for test in BY_SEED {
            // As short as ever: another seed brings more than more of the same one.
            let mut play = cargo(&["test", "--locked", "--test", test]);
            play.env("BREAKWATER_LONG", "0");
            steps.run(&format!("{test} with other seeds"), || with_other_seeds(&mut play))?;
        }
        steps.run("the oldest compiler that is promised", || {
            let arguments = ["run", "--install", &workspace.rust_version, "cargo", "check", "--locked", "--workspace"];
            let mut oldest = Command::new("rustup");
            oldest.args(arguments).arg("--all-targets").env("CARGO_TARGET_DIR", workspace.target.join("oldest"));
            command::run(oldest.current_dir(&workspace.root))
        })?;
        steps.run("the breaker beside its peers", || {
            let manifest = "client/breaker/compare/Cargo.toml";
            command::run(&mut cargo(&["bench", "--locked", "--manifest-path", manifest, "--", "--quick"]))
        })?;
    }
    let before = Traces::take()?;
    let was_there = Cluster::is_there(workspace);
    let cluster = steps.run("cluster up", || Cluster::up(workspace, args.cluster))?;
    let images = steps.run("images", || images::build(workspace))?;
    if args.long {
        steps.run("the same images from another folder", || images::reproduce(workspace, &images))?;
    }
    steps.run("load images", || cluster.load(&images))?;
    let log = e2e::AuditLog::of(&cluster);
    steps.run("end-to-end tests", || e2e::run_all(workspace, &cluster))?;
    steps.check("the operator's rights against what it used of them", || {
        e2e::audit(log.as_ref(), workspace, &cluster)
    })?;
    if args.long {
        steps.run("manifests of other seeds", || with_other_seeds(&mut e2e::manifests(workspace, &cluster)))?;
        steps.run("size", || size::test(workspace))?;
        steps.run("the benchmark", || size::bench_briefly(workspace))?;
        steps.run("long end-to-end tests", || e2e::run_long(workspace, &cluster))?;
        steps.run("the fake API server beside the real one", || e2e::run_same(workspace, &cluster))?;
    }
    if was_there {
        println!("\nThe cluster was there before and is left as it is.");
        return Ok(());
    }
    steps.run("cluster down leaves nothing behind", || {
        Cluster::down(workspace)?;
        Traces::take()?.ensure_none_since(&before)
    })
}

/// Runs tests with one seed after the other, as long as there is time. Who fails says with which.
fn with_other_seeds(test: &mut Command) -> Result<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < OTHER_SEEDS {
        let seed = RandomState::new().hash_one(()).to_string();
        println!("BREAKWATER_SEED={seed}");
        command::run(test.env("BREAKWATER_SEED", &seed)).with_context(|| format!("with BREAKWATER_SEED={seed}"))?;
    }
    Ok(())
}
