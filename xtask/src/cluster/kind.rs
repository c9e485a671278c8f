//! A cluster by kind (<https://kind.sigs.k8s.io>), named `breakwater`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::build;
use crate::command;
use crate::workspace::Workspace;

const NAME: &str = "breakwater";

pub fn up(workspace: &Workspace) -> Result<()> {
    build::tools(workspace)?;
    fs::create_dir_all(workspace.target.join("cluster"))?;
    let there = command::output(Command::new("kind").args(["get", "clusters"]))?;
    if !there.lines().any(|name| name == NAME) {
        command::run(
            Command::new("kind")
                .args(["create", "cluster", "--wait", "3m", "--name", NAME, "--kubeconfig"])
                .arg(workspace.kubeconfig()),
        )?;
    }
    command::run(
        Command::new("kind").args(["export", "kubeconfig", "--name", NAME, "--kubeconfig"]).arg(workspace.kubeconfig()),
    )
}

pub fn down() -> Result<()> {
    command::run(Command::new("kind").args(["delete", "cluster", "--name", NAME]))
}

pub fn load(archive: &Path) -> Result<()> {
    command::run(Command::new("kind").args(["load", "image-archive", "--name", NAME]).arg(archive))
}
