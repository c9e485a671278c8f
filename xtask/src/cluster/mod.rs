//! `cargo cluster`: a Kubernetes to try Breakwater on.

mod build;
mod choose;
mod current;
mod kind;
mod local;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

pub use build::control_plane;
pub use choose::Choice;
use choose::Which;
pub use local::traces::Traces;

use crate::command;
use crate::images::{self, Packed};
use crate::workspace::Workspace;

/// Arguments of `cargo cluster`.
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(clap::Subcommand)]
enum Sub {
    /// Starts a cluster, or repairs the one that is there; harmless when it runs already
    Up {
        /// Which cluster
        #[arg(long, value_enum, default_value_t)]
        cluster: Choice,
    },
    /// Stops the cluster that `up` started and leaves nothing of it behind
    Down,
    /// Says what runs and what does not; exit code 1 when something does not
    Status,
    /// Builds this workspace's images and loads them into the cluster
    Load,
    /// Runs kubectl on the cluster: `cargo cluster kubectl get pods -A`
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Handed to kubectl as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Becomes a program of the local cluster (used by `up`)
    #[command(hide = true)]
    Inside {
        /// The name to be known by, if not the program's own
        #[arg(long)]
        name: Option<OsString>,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Forwards connections of the listener at standard input (used by `up`)
    #[command(hide = true)]
    Forward { to: SocketAddr },
}

/// Runs `cargo cluster`.
pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Sub::Up { cluster } => {
            let workspace = Workspace::find()?;
            let cluster = Cluster::up(&workspace, cluster)?;
            println!("\nThe cluster is up. To use it with your own kubectl and helm:\n");
            println!("  export KUBECONFIG={}\n", cluster.kubeconfig().display());
            println!("or: cargo cluster kubectl get pods -A        to stop it: cargo cluster down");
        }
        Sub::Down => Cluster::down(&Workspace::find()?)?,
        Sub::Status => return Cluster::status(&Workspace::find()?),
        Sub::Load => {
            let workspace = Workspace::find()?;
            Cluster::chosen(&workspace)?.load(&images::build(&workspace)?)?;
        }
        Sub::Kubectl { args } => {
            let workspace = Workspace::find()?;
            let status = Cluster::chosen(&workspace)?.kubectl().args(args).status().context("cannot start kubectl")?;
            return Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)));
        }
        Sub::Inside { name, program, args } => return Err(local::inside::become_program(name, &program, &args)),
        Sub::Forward { to } => local::forward::serve(to)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A cluster that answers.
pub struct Cluster<'a> {
    workspace: &'a Workspace,
    kind: Which,
}

impl<'a> Cluster<'a> {
    /// Starts the chosen cluster, or makes sure that it runs.
    pub fn up(workspace: &'a Workspace, choice: Choice) -> Result<Self> {
        let kind = choose::choose(choice)?;
        let before = fs::read_to_string(kind_file(workspace)).ok().and_then(|text| Which::parse(&text));
        if before == Some(Which::Local) && kind != Which::Local && local::is_there() {
            bail!("the local cluster is up: `cargo cluster down` first, then choose another");
        }
        match kind {
            Which::Local => local::up(workspace)?,
            Which::Kind => kind::up(workspace)?,
            Which::Current => current::up(workspace)?,
        }
        fs::write(kind_file(workspace), kind.name())?;
        Ok(Self { workspace, kind })
    }

    /// Whether there is a cluster already, running or not.
    pub fn is_there(workspace: &Workspace) -> bool {
        kind_file(workspace).is_file() || local::is_there()
    }

    /// The cluster that `up` was asked for last.
    pub fn chosen(workspace: &'a Workspace) -> Result<Self> {
        let name = fs::read_to_string(kind_file(workspace))
            .ok()
            .context("there is no cluster yet: `cargo cluster up` starts one")?;
        let kind = Which::parse(&name).with_context(|| format!("{} is damaged", kind_file(workspace).display()))?;
        Ok(Self { workspace, kind })
    }

    /// Stops what `up` started.
    pub fn down(workspace: &'a Workspace) -> Result<()> {
        let kind = Self::chosen(workspace).map_or(Which::Local, |cluster| cluster.kind);
        match kind {
            Which::Local => local::down()?,
            Which::Kind => kind::down()?,
            Which::Current => println!("This cluster was not started here and is left alone."),
        }
        for file in [kind_file(workspace), workspace.kubeconfig()] {
            remove(&file)?;
        }
        Ok(())
    }

    fn status(workspace: &'a Workspace) -> Result<ExitCode> {
        let Ok(cluster) = Self::chosen(workspace) else {
            println!("No cluster: `cargo cluster up` starts one.");
            return Ok(ExitCode::FAILURE);
        };
        if cluster.kind == Which::Local && !local::status()? {
            return Ok(ExitCode::FAILURE);
        }
        println!("kubeconfig: {}", cluster.kubeconfig().display());
        let answers =
            cluster.kubectl().args(["get", "nodes", "-o", "wide"]).status().context("cannot start kubectl")?;
        Ok(if answers.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Makes images known to the cluster's nodes.
    pub fn load(&self, images: &[Packed]) -> Result<()> {
        for Packed { name, digest, file, .. } in images {
            match self.kind {
                Which::Local if local::images::import(self.workspace, name, digest, file)? => {
                    println!("{name}: loaded")
                }
                Which::Local => println!("{name}: there already"),
                Which::Kind => kind::load(file)?,
                Which::Current => println!(
                    "{name}: the nodes of the current context must be able to pull it. Push it to a registry of theirs \
                     ({} is an OCI archive, or use the Dockerfile) and name that in the chart's values.",
                    file.display()
                ),
            }
        }
        Ok(())
    }

    /// The kubeconfig for programs on this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.workspace.kubeconfig()
    }

    /// Where its API server writes down what service accounts ask of it, if it does so on this machine.
    pub fn audit_log(&self) -> Option<&'static str> {
        (self.kind == Which::Local).then_some(local::AUDIT_LOG)
    }

    /// `kubectl` on this cluster.
    pub fn kubectl(&self) -> Command {
        self.tool("kubectl")
    }

    /// A program that reads `KUBECONFIG`, found among what was built here first.
    pub fn tool(&self, name: &str) -> Command {
        let built = self.workspace.bin().join(name);
        let program = if built.is_file() { built } else { command::find(name).unwrap_or_else(|| name.into()) };
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig()).env("PATH", self.workspace.path());
        command
    }
}

fn kind_file(workspace: &Workspace) -> PathBuf {
    workspace.target.join("cluster/kind")
}

/// Removes a file that may be gone already.
fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
