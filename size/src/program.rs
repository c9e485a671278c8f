//! Programs that end with the benchmark, however that ends.

use std::{ffi::OsStr, fs, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

/// Starts a program that writes into a log. It is killed when what is given is dropped, and by the kernel when the thread that
/// started it is gone: `prctl(2)`, PR_SET_PDEATHSIG, which outlives an exec.
///
/// # Errors
/// Where it cannot be started.
pub fn start<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    environment: &[(&str, &OsStr)],
    log: &Path,
) -> Result<Child> {
    ensure!(program.is_file(), "{} is not there; `cargo cluster load` builds it", program.display());
    let log = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
    command.env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().context("`setpriv` of util-linux cannot be started")
}
