//! The cluster's processes, by their control group.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::{Place, place};
use crate::wait;

/// A process of the cluster.
pub struct Process {
    pub pid: i32,
    /// The file name of the program.
    pub name: String,
    /// Whether it belongs to a pod rather than to the cluster itself.
    pub pod: bool,
}

/// All processes of the cluster at this moment.
pub fn members() -> Result<Vec<Process>> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Each may end while we look at it.
        let Ok(groups) = fs::read_to_string(entry.path().join("cgroup")) else { continue };
        let place = place(&groups);
        if place == Place::Elsewhere {
            continue;
        }
        let Ok(words) = fs::read(entry.path().join("cmdline")) else { continue };
        let Some(program) = words.split(|byte| *byte == 0).next().filter(|word| !word.is_empty()) else {
            continue; // it has ended, and nobody has asked for its exit code yet
        };
        let program = String::from_utf8_lossy(program);
        let name = program.rsplit('/').next().unwrap_or_default().to_owned();
        members.push(Process { pid, name, pod: place == Place::Pod });
    }
    Ok(members)
}

/// Asks the chosen processes to end, waits, and kills those that have not ended after `grace`.
pub fn stop(grace: Duration, chosen: impl Fn(&Process) -> bool) -> Result<()> {
    let signal_all = |signal| -> Result<bool> {
        let chosen: Vec<Process> = members()?.into_iter().filter(&chosen).collect();
        for process in &chosen {
            let _ended_meanwhile = kill(Pid::from_raw(process.pid), signal);
        }
        Ok(chosen.is_empty())
    };
    let gone = || Ok((!members()?.iter().any(&chosen)).then_some(()));
    if signal_all(Signal::SIGTERM)? || wait::until("ending", grace, gone).is_ok() {
        return Ok(());
    }
    wait::until("killing processes", Duration::from_secs(10), || {
        signal_all(Signal::SIGKILL)?;
        gone()
    })
}
