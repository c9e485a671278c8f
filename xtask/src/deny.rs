//! `cargo deny check`: licences, duplicates, sources and known vulnerabilities of what comes into the build.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::tools::Tool;
use crate::workspace::Workspace;
use crate::{command, wait};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Checks what can be checked here, and says what cannot.
pub fn check(workspace: &Workspace) -> Result<()> {
    let program = DENY.install(workspace)?;
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
