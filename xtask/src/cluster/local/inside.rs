//! Becomes a program of the cluster: in its control group, in its network namespace, apart from the terminal.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Error, Result};

use super::{cgroup, netns};

/// Returns only when it fails.
pub fn become_program(name: Option<OsString>, program: &Path, args: &[OsString]) -> Error {
    fn prepare() -> Result<()> {
        cgroup::join()?;
        netns::enter()?;
        nix::unistd::setsid().context("cannot leave the terminal")?;
        Ok(())
    }
    match prepare() {
        Ok(()) => {
            let error = Command::new(program).arg0(name.unwrap_or(program.into())).args(args).exec();
            Error::new(error).context(format!("cannot start {}", program.display()))
        }
        Err(error) => error,
    }
}
