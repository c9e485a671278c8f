//! `cargo deny check`: licences, duplicates, sources and known vulnerabilities of what comes into the build.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, cargo};
use crate::{command, wait};

const VERSION: &str = "0.20.2";

/// Checks what can be checked here, and says what cannot.
pub fn check(workspace: &Workspace) -> Result<()> {
    let program = install(workspace)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--all-features"]).args(arguments).current_dir(&workspace.root);
        command
    };
    command::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    if can_fetch(deny(&["fetch", "db"]))? {
        command::run(&mut deny(&["check", "--disable-fetch", "advisories"]))
    } else {
        println!("NOT CHECKED: advisories. Their database, on github.com, cannot be reached from here.");
        Ok(())
    }
}

/// A network that answers nothing at all must not hold up the rest.
fn can_fetch(mut fetch: Command) -> Result<bool> {
    let mut child = fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    match wait::until("fetching the advisories", Duration::from_secs(60), || Ok(child.try_wait()?)) {
        Ok(status) => Ok(status.success()),
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Ok(false)
        }
    }
}

/// The pinned version, built once into the target folder.
fn install(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.target.join("tools");
    let program = root.join("bin/cargo-deny");
    let known = command::output(Command::new(&program).arg("--version")).unwrap_or_default();
    if !known.trim().ends_with(VERSION) {
        println!("Installing cargo-deny {VERSION} into {} (takes minutes, once).", root.display());
        let mut install = Command::new(cargo());
        install
            .args(["install", "--locked", "--debug", "--quiet", "cargo-deny", "--version", VERSION, "--root"])
            .arg(&root);
        // In the target folder, so that what was compiled is there again when the next version comes.
        install.arg("--target-dir").arg(root.join("build"));
        command::run(&mut install).context("cannot install cargo-deny")?;
    }
    Ok(program)
}
