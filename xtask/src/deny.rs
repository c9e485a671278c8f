//! `cargo deny check`: licences, duplicates, sources and known vulnerabilities of what comes into the build.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::tools::Tool;
use crate::workspace::Workspace;
use crate::{command, wait};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// What the checkout itself tells: licences, duplicates and sources.
pub fn check(workspace: &Workspace) -> Result<()> {
    command::run(&mut deny(workspace, &["check", "bans", "licenses", "sources"])?)
}

/// Known vulnerabilities; false where their database is out of reach.
pub fn check_advisories(workspace: &Workspace) -> Result<bool> {
    if !can_fetch(deny(workspace, &["fetch", "db"])?)? {
        println!("The database of advisories, on github.com, cannot be reached from here.");
        return Ok(false);
    }
    command::run(&mut deny(workspace, &["check", "--disable-fetch", "advisories"])?)?;
    Ok(true)
}

fn deny(workspace: &Workspace, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(DENY.install(workspace)?);
    command.args(["--all-features"]).args(arguments).current_dir(&workspace.root);
    Ok(command)
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
