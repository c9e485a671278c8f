//! Stops a program of the local cluster, as a machine that is overloaded does.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is waited for while a program stands still")]

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

/// A program that stands still until this is dropped.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        // It fails only if the program has ended; the test that needs it says so.
        drop(signal("-CONT", self.0));
    }
}

/// Lets a program of the cluster, such as `etcd`, stand still for a while.
pub async fn stand_still(program: &str, time: Duration) -> Result<()> {
    let process = find(program)?;
    signal("-STOP", process)?;
    let stopped = Stopped(process);
    tokio::time::sleep(time).await;
    drop(stopped);
    Ok(())
}

/// A while in which nothing is done.
pub async fn a_while(time: Duration) {
    tokio::time::sleep(time).await;
}

fn signal(signal: &str, process: u32) -> Result<()> {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().context("cannot start kill")?;
    ensure!(status.success(), "kill {signal} {process} failed: these tests need root and the local cluster");
    Ok(())
}

/// By its name and its control group, which is the local cluster's.
fn find(program: &str) -> Result<u32> {
    let is_it = |entry: &fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let path = String::from_utf8_lossy(words.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        path.rsplit('/').next() == Some(program) && groups.contains(":/breakwater/programs")
    };
    let found = fs::read_dir("/proc")?.flatten().filter(is_it);
    let numbers: Vec<u32> = found.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    ensure!(numbers.len() == 1, "{} processes of the local cluster are called {program}", numbers.len());
    Ok(numbers[0])
}
