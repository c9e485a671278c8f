//! Images of the local cluster: they come out of archives, as there is no way to a registry.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::STATE;
use super::config::PAUSE_IMAGE;
use crate::command;
use crate::images::archive::{self, Image};
use crate::workspace::Workspace;

/// Imports an archive, unless an image of this name and digest is there already; gives whether it did.
pub fn import(workspace: &Workspace, name: &str, digest: &str, file: &Path) -> Result<bool> {
    let list = command::output(ctr(workspace).args(["images", "list", &format!("name=={name}")]))?;
    if list.split_whitespace().any(|word| word == digest) {
        return Ok(false);
    }
    command::output(ctr(workspace).args(["images", "import", "--digests=false"]).arg(file))
        .with_context(|| format!("cannot import {name}"))?;
    Ok(true)
}

/// Builds and imports the first process of every pod.
pub fn ensure_pause(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("cluster/images");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("pause");
    if !program.is_file() {
        let source = workspace.root.join("cluster/pause/pause.c");
        command::output(Command::new("cc").args(["-static", "-Os", "-o"]).arg(&program).arg(source))
            .context("cannot build the pause program: a C compiler and a static C library are needed (apt install gcc libc6-dev)")?;
    }
    let file = folder.join("pause.tar");
    let image = Image { name: PAUSE_IMAGE, program: &program, entrypoint: "/pause", user: 65535 };
    let digest = archive::write(&image, &file)?;
    import(workspace, PAUSE_IMAGE, &digest, &file).map(drop)
}

fn ctr(workspace: &Workspace) -> Command {
    let mut command = Command::new(workspace.bin().join("ctr"));
    command.arg("--address").arg(format!("{STATE}/containerd.sock")).args(["--namespace", "k8s.io"]);
    command
}
