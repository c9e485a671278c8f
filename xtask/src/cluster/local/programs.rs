//! The programs of the cluster: what each is started with and when it is ready.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::processes::{Process, members};
use super::{STATE, config, forward, netns};
use crate::wait;

/// A program that is started with the flags of `cluster/config/NAME.flags`.
struct Program {
    name: &'static str,
    flags: &'static str,
    ready: Ready,
}

/// What shows that a program is at work.
enum Ready {
    /// A GET inside the namespace is answered with 200.
    Http(&'static str, &'static str),
    /// A TCP connection inside the namespace is accepted.
    Tcp(&'static str),
    /// A connection to this socket, in the state's folder, is accepted.
    Socket(&'static str),
}

macro_rules! flags {
    ($name:literal) => {
        include_str!(concat!("../../../../cluster/config/", $name, ".flags"))
    };
}

const PROGRAMS: [Program; 8] = [
    Program { name: "etcd", flags: flags!("etcd"), ready: Ready::Http("127.0.0.1:2379", "/health") },
    Program { name: "containerd", flags: flags!("containerd"), ready: Ready::Socket("containerd.sock") },
    Program { name: "kube-apiserver", flags: flags!("kube-apiserver"), ready: Ready::Tcp(config::API_SERVER) },
    Program {
        name: "kube-controller-manager",
        flags: flags!("kube-controller-manager"),
        ready: Ready::Tcp("127.0.0.1:10257"),
    },
    Program { name: "kube-scheduler", flags: flags!("kube-scheduler"), ready: Ready::Tcp("127.0.0.1:10259") },
    Program { name: "kubelet", flags: flags!("kubelet"), ready: Ready::Http("127.0.0.1:10248", "/healthz") },
    Program { name: "kube-proxy", flags: flags!("kube-proxy"), ready: Ready::Http("127.0.0.1:10256", "/healthz") },
    Program { name: "coredns", flags: flags!("coredns"), ready: Ready::Http("127.0.0.1:8181", "/ready") },
];

/// All names, in the order of starting.
pub fn names() -> impl Iterator<Item = &'static str> {
    [forward::NAME].into_iter().chain(PROGRAMS.iter().map(|program| program.name))
}

/// Those that do not run.
pub fn missing() -> Result<Vec<&'static str>> {
    let running = members()?;
    Ok(names().filter(|name| !running.iter().any(|process| process.name == *name)).collect())
}

/// The flags of a program, filled in. The forwarder has none.
pub fn flags(name: &str) -> Result<Vec<String>> {
    let Some(program) = PROGRAMS.iter().find(|program| program.name == name) else { return Ok(Vec::new()) };
    let lines = program.flags.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| config::fill(line, &[]).with_context(|| format!("{name}.flags"))).collect()
}

/// Starts those of the named programs that are not `running`, then waits until each of them is ready.
pub fn start(bin: &Path, names: &[&str], running: &[Process]) -> Result<()> {
    for name in names.iter().filter(|name| !running.iter().any(|process| process.name == **name)) {
        let program = bin.join(name);
        let mut command = inside(name)?;
        // containerd looks for its shim on PATH, kube-proxy for nft.
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", format!("{}:{system}", bin.display())).env("HOME", STATE);
        command.arg(program).args(flags(name)?).stdin(Stdio::null()).spawn().context("cannot start a program")?;
    }
    for name in names {
        await_ready(name, || PROGRAMS.iter().find(|program| program.name == *name).is_none_or(|it| it.ready.is_so()))?;
    }
    Ok(())
}

/// Waits until the API server calls itself ready.
pub fn await_api_server(ready: impl Fn() -> bool) -> Result<()> {
    await_ready("kube-apiserver", ready)
}

/// An error when one of the programs does not run.
pub fn ensure_running(names: &[&str]) -> Result<()> {
    let running = members()?;
    match names.iter().find(|name| !running.iter().any(|process| process.name == **name)) {
        Some(name) => bail!("{name} ended:\n{}", log_tail(name)),
        None => Ok(()),
    }
}

/// Starts the forwarder, which gets its listener as standard input.
pub fn start_forward(listener: TcpListener) -> Result<()> {
    let myself = std::env::current_exe().context("cannot find this program")?;
    let mut command = inside(forward::NAME)?;
    command.args(["--name", forward::NAME]).arg(myself).args(["cluster", "forward", config::API_SERVER]);
    command.stdin(Stdio::from(OwnedFd::from(listener))).spawn().context("cannot start the forwarder")?;
    Ok(())
}

fn inside(name: &str) -> Result<Command> {
    let log = log(name)?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args(["cluster", "inside"]).stdout(log.try_clone()?).stderr(log).current_dir("/");
    Ok(command)
}

fn await_ready(name: &str, ready: impl Fn() -> bool) -> Result<()> {
    // A program that was just started shows under its own name only when it has become it.
    let born = || Ok(members()?.iter().any(|process| process.name == name).then_some(()));
    wait::until(name, Duration::from_secs(5), born)
        .with_context(|| format!("it did not start:\n{}", log_tail(name)))?;
    wait::until(name, Duration::from_secs(60), || {
        ensure_running(&[name])?;
        Ok(ready().then_some(()))
    })
    .with_context(|| format!("not ready; its log, {}, ends:\n{}", log_path(name), log_tail(name)))
}

impl Ready {
    fn is_so(&self) -> bool {
        match self {
            Self::Http(address, path) => netns::answers(address, path),
            Self::Tcp(address) => netns::accepts(address),
            Self::Socket(file) => UnixStream::connect(Path::new(STATE).join(file)).is_ok(),
        }
    }
}

fn log_path(name: &str) -> String {
    format!("{STATE}/logs/{name}.log")
}

fn log(name: &str) -> Result<File> {
    fs::create_dir_all(format!("{STATE}/logs"))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(name))
        .with_context(|| format!("cannot write {}", log_path(name)))
}

fn log_tail(name: &str) -> String {
    let text = fs::read(log_path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_lines_without_comments() {
        let flags = flags("etcd").unwrap();
        assert_eq!(flags[0], "--data-dir=/var/lib/breakwater/etcd");
        assert!(flags.iter().all(|flag| flag.starts_with("--")), "{flags:?}");
    }

    #[test]
    fn every_program_has_flags() {
        for program in &PROGRAMS {
            assert!(!flags(program.name).unwrap().is_empty(), "{}", program.name);
        }
    }
}
