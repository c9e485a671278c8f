//! The project's commands: `cargo demo`, `cargo e2e`, `cargo check-all` and `cargo cluster`.

mod cluster;
mod command;
mod images;
mod steps;
mod wait;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of this workspace. Each has an alias: `cargo demo` is `cargo xtask demo`.
#[derive(Parser)]
#[command(name = "cargo", bin_name = "cargo", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A Kubernetes to try Breakwater on: start it, stop it, talk to it
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Cluster(args) => cluster::run(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
