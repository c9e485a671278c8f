//! The cluster of kubectl's current context: somebody else's, neither started nor stopped here.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};

use super::build;
use crate::command;
use crate::workspace::Workspace;

/// Copies the current context alone, so that a later change of context cannot move our commands elsewhere.
pub fn up(workspace: &Workspace) -> Result<()> {
    let kubectl = build::tools(workspace)?;
    let context = command::output(std::process::Command::new(&kubectl).args(["config", "current-context"]))
        .context("kubectl has no current context: choose one with `kubectl config use-context NAME`")?;
    println!("Current context: {}", context.trim());
    let config = command::output(std::process::Command::new(&kubectl).args([
        "config",
        "view",
        "--minify",
        "--flatten",
        "--raw",
    ]))?;
    fs::create_dir_all(workspace.target.join("cluster"))?;
    fs::write(workspace.kubeconfig(), config)?;
    fs::set_permissions(workspace.kubeconfig(), fs::Permissions::from_mode(0o600))?;
    command::output(
        std::process::Command::new(&kubectl)
            .args(["get", "--raw=/readyz", "--request-timeout=10s"])
            .env("KUBECONFIG", workspace.kubeconfig()),
    )
    .context("the cluster of the current context does not answer")?;
    Ok(())
}
