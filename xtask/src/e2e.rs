//! `cargo e2e`: the end-to-end tests, on a cluster that it brings.

use std::process::{Command, ExitCode};

use anyhow::Result;

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
    /// How many tests run at the same time
    #[arg(long, default_value_t = 4)]
    threads: usize,
}

/// Brings the cluster and the images, then runs the tests.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let cluster = Cluster::up(&workspace, args.cluster)?;
    cluster.load(&images::build(&workspace)?)?;
    demo::remove(&cluster)?;
    let status = tests(&workspace, &cluster, args).status()?;
    println!("\nThe cluster is still up: cargo cluster down");
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All tests, as `cargo check-all` runs them.
pub fn run_all(workspace: &Workspace, cluster: &Cluster<'_>) -> Result<()> {
    let args = Args { filter: None, keep: false, cluster: Choice::Auto, threads: 4 };
    demo::remove(cluster)?;
    command::run(&mut tests(workspace, cluster, &args))
}

fn tests(workspace: &Workspace, cluster: &Cluster<'_>, args: &Args) -> Command {
    let mut test = Command::new(cargo());
    test.args(["test", "--package", "breakwater-e2e"]).args(&args.filter).current_dir(&workspace.root);
    test.args(["--", &format!("--test-threads={}", args.threads)]);
    test.env("KUBECONFIG", cluster.kubeconfig()).env("PATH", workspace.path());
    if args.keep {
        test.env("BREAKWATER_E2E_KEEP", "1");
    }
    test
}
