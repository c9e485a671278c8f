//! `cargo bench-operator`, and the tests of the operator's size: an API server of its own, and the program as it is in its image.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cluster;
use crate::command;
use crate::images;
use crate::workspace::{Workspace, cargo};

/// Arguments of `cargo bench-operator`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Handed to the benchmark as they are; --help tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Builds what is needed and runs the benchmark.
pub fn bench(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut run = with_programs(&workspace, &["run"])?;
    let status = run.arg("--").args(&args.args).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the benchmark with as little as it can do, so that it is known to work.
pub fn bench_briefly(workspace: &Workspace) -> Result<()> {
    let mut run = with_programs(workspace, &["run"])?;
    let little = ["--sizes", "1", "--idle", "0", "--crowd", "0", "--idling", "1", "--spread", "0"];
    command::run(run.arg("--").args(little))
}

/// Runs the tests, at the full size.
pub fn test(workspace: &Workspace) -> Result<()> {
    let mut test = with_programs(workspace, &["test"])?;
    command::run(test.args(["--", "--ignored", "--nocapture"]).env("BREAKWATER_LONG", "1"))
}

/// Of the same profile as the fault tests, so that most of it is built already: thousands of clients live in its process.
fn with_programs(workspace: &Workspace, verb: &[&str]) -> Result<Command> {
    let programs = cluster::control_plane(workspace)?;
    let images = images::build(workspace)?;
    let operator =
        images.into_iter().find(|image| image.name.contains("/operator:")).context("no operator was built")?;
    let mut cargo = cargo();
    cargo.args(verb).args(["--locked", "--profile", "faults", "--package", "breakwater-size"]);
    cargo
        .current_dir(&workspace.root)
        .env("BREAKWATER_PROGRAMS", programs)
        .env("BREAKWATER_OPERATOR", operator.program);
    Ok(cargo)
}
