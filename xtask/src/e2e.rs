//! `cargo e2e`: the end-to-end tests, on a cluster that it brings.

use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::cluster::{Choice, Cluster};
use crate::workspace::{Workspace, cargo};
use crate::{command, demo, images};

/// Arguments of `cargo e2e`.
#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Leave the tests' namespaces in the cluster, to look at them
    #[arg(long)]
    keep: bool,
    /// On which cluster
    #[arg(long, value_enum, default_value_t)]
    cluster: Choice,
    /// Only the long tests, which stop and change the cluster under the operator; minutes, one after the other
    #[arg(long)]
    long: bool,
    /// How many tests run at the same time
    #[arg(long, default_value_t = 4)]
    threads: usize,
}

/// Brings the cluster and the images, then runs the tests.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    ensure_own(args.cluster, args.long)?;
    let cluster = Cluster::up(&workspace, args.cluster)?;
    cluster.load(&images::build(&workspace)?)?;
    demo::remove(&cluster)?;
    let log = AuditLog::of(&cluster);
    let status = tests(&workspace, &cluster, args).status()?;
    if status.success() && args.filter.is_none() && !args.long {
        audit(log.as_ref(), &workspace, &cluster)?;
    }
    println!("\nThe cluster is still up: cargo cluster down");
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The long tests stop the cluster's programs and delete the definition, with everybody's experiments.
pub fn ensure_own(cluster: Choice, long: bool) -> Result<()> {
    ensure!(!long || cluster != Choice::Current, "--long takes the cluster apart: it is not for the current context");
    Ok(())
}

/// All tests, as `cargo check-all` runs them; [`audit`] comes after them.
pub fn run_all(workspace: &Workspace, cluster: &Cluster<'_>) -> Result<()> {
    let args = Args { filter: None, keep: false, cluster: Choice::Auto, long: false, threads: 4 };
    demo::remove(cluster)?;
    command::run(command::without_choices(&mut tests(workspace, cluster, &args)))
}

/// The long tests, as `cargo check-all --long` runs them.
pub fn run_long(workspace: &Workspace, cluster: &Cluster<'_>) -> Result<()> {
    let args = Args { filter: None, keep: false, cluster: Choice::Auto, long: true, threads: 1 };
    demo::remove(cluster)?;
    command::run(command::without_choices(&mut tests(workspace, cluster, &args)))
}

/// All sequences of requests to the API server in process and to the real one, of which [`run_all`] plays a part.
pub fn run_same(workspace: &Workspace, cluster: &Cluster<'_>) -> Result<()> {
    let mut test = cargo_test(workspace, cluster);
    test.args(["--test", "cluster", "same::", "--", "--nocapture"]);
    command::run(command::without_choices(&mut test).env("BREAKWATER_LONG", "1"))
}

/// The test that shows bad manifests to the API server, for seeds that [`run_all`] does not play.
pub fn manifests(workspace: &Workspace, cluster: &Cluster<'_>) -> Command {
    let mut test = cargo_test(workspace, cluster);
    command::without_choices(&mut test).args(["--test", "manifests"]);
    test
}

/// Where the API server writes down what it is asked, and how much of it was there before the tests.
pub struct AuditLog {
    path: &'static str,
    from: u64,
}

impl AuditLog {
    /// The local cluster's; others keep none that can be read here.
    pub fn of(cluster: &Cluster<'_>) -> Option<Self> {
        let path = cluster.audit_log()?;
        Some(Self { path, from: std::fs::metadata(path).map_or(0, |file| file.len()) })
    }

    /// The test that holds the operator's rights against what it used of them.
    fn test(&self, workspace: &Workspace, cluster: &Cluster<'_>) -> Command {
        let mut test = cargo_test(workspace, cluster);
        test.args(["--test", "audit", "--", "--ignored", "--nocapture"]);
        test.env("BREAKWATER_AUDIT_LOG", self.path).env("BREAKWATER_AUDIT_FROM", self.from.to_string());
        test
    }
}

/// Holds the operator's rights against what it has used of them since the log was taken. False where this cluster keeps no log here.
pub fn audit(log: Option<&AuditLog>, workspace: &Workspace, cluster: &Cluster<'_>) -> Result<bool> {
    let Some(log) = log else {
        println!(
            "\nNOT CHECKED: the operator's rights against what it used of them, as this cluster keeps no audit log here"
        );
        return Ok(false);
    };
    command::run(&mut log.test(workspace, cluster))?;
    Ok(true)
}

fn tests(workspace: &Workspace, cluster: &Cluster<'_>, args: &Args) -> Command {
    let mut test = cargo_test(workspace, cluster);
    if args.long {
        // They stop programs of the cluster: nothing else runs beside them.
        test.args(["--test", "cluster"]).args(&args.filter);
        test.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
    } else {
        test.args(&args.filter).args(["--", &format!("--test-threads={}", args.threads)]);
        if std::env::var_os("BREAKWATER_SHOW").is_some() {
            test.arg("--nocapture");
        }
    }
    if args.keep {
        test.env("BREAKWATER_E2E_KEEP", "1");
    }
    test
}

fn cargo_test(workspace: &Workspace, cluster: &Cluster<'_>) -> Command {
    let mut test = cargo();
    test.args(["test", "--package", "breakwater-e2e"]).current_dir(&workspace.root);
    test.env("KUBECONFIG", cluster.kubeconfig()).env("PATH", workspace.path());
    test
}
