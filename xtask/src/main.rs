//! The project's commands: `cargo demo`, `cargo e2e`, `cargo check-all`, `cargo bench-operator` and `cargo cluster`.

mod check_all;
mod cluster;
mod command;
mod demo;
mod deny;
mod e2e;
mod images;
mod size;
mod steps;
mod tools;
mod wait;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The commands of this workspace. Each has an alias: `cargo demo` is `cargo xtask demo`.
#[derive(Parser)]
#[command(name = "cargo", bin_name = "cargo", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows it all: a cluster, the chart, an experiment that kills the backend, its verdict and its timeline
    Demo(demo::Args),
    /// Runs everything that must hold before a change is good, the end-to-end tests included
    CheckAll(check_all::Args),
    /// Runs the end-to-end tests on a cluster, which it brings and leaves up
    E2e(e2e::Args),
    /// Builds the images twice, the second time from a copy of this commit in another folder, and compares them
    Reproduce,
    /// The operator at several sizes: how late kills are, and what it takes
    BenchOperator(size::Args),
    /// A Kubernetes to try Breakwater on: start it, stop it, talk to it
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::CheckAll(args) => check_all::run(&args),
        Command::E2e(args) => e2e::run(&args),
        Command::Reproduce => {
            let workspace = Workspace::find()?;
            images::reproduce(&workspace, &images::build(&workspace)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::BenchOperator(args) => size::bench(&args),
        Command::Cluster(args) => cluster::run(args),
    }
}
