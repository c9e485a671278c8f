//! The local cluster: real Kubernetes in a network namespace of this machine, one a machine.

mod cgroup;
mod clean;
mod config;
pub mod forward;
pub mod images;
pub mod inside;
mod netns;
mod packages;
mod pki;
mod processes;
mod programs;
pub mod traces;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::build;
use crate::command;
use crate::wait::{self, Stopwatch, short};
use crate::workspace::Workspace;
use config::Config;

/// All that the cluster keeps: certificates, data, sockets, logs, mounts. Short, as a socket's path has 108 bytes at most.
pub const STATE: &str = "/var/lib/breakwater";
/// What service accounts asked of the API server, a line each.
pub const AUDIT_LOG: &str = "/var/lib/breakwater/logs/audit.log";
/// Written when the cluster was up as a whole: which build, and in which boot of the machine.
const COMPLETE: &str = "/var/lib/breakwater/complete";
/// The port on the host's loopback, if nobody else has it.
const PORT: u16 = 16443;

/// Starts the cluster, repairs it, or finds that it is fine.
pub fn up(workspace: &Workspace) -> Result<()> {
    let _lock = lock()?;
    packages::ensure()?;
    build::all(workspace)?;
    let config = Config::find()?;
    let identity = identity(&build::stamp(workspace)?, &config)?;
    let watch = Stopwatch::start();
    let mut verb = "started";
    if Path::new(STATE).exists() {
        if fs::read_to_string(COMPLETE).is_ok_and(|text| text == identity) && netns::exists() {
            verb = "checked";
            let missing = programs::missing()?;
            if !missing.is_empty() {
                println!("Not running any more: {}. Starting what is missing.", missing.join(", "));
                verb = "repaired";
            }
            match start(workspace) {
                Ok(()) => {
                    println!("Local cluster {verb} in {}.", short(watch.elapsed()));
                    return Ok(());
                }
                Err(error) => println!("It cannot be repaired ({error:#}). Starting a new one."),
            }
        } else {
            println!(
                "There are remains of a cluster of another build, boot or a start that was cut off: removing them."
            );
        }
        clean::clean()?;
        verb = "started anew";
    }
    ensure!(!clean::other_kubelet(), "another kubelet runs on this machine: use its cluster, by `--cluster current`");
    cgroup::create()?;
    fs::create_dir_all(STATE)?;
    fs::set_permissions(STATE, fs::Permissions::from_mode(0o700))?;
    pki::write()?;
    config.write()?;
    netns::create()?;
    start(workspace)?;
    fs::write(COMPLETE, identity)?;
    println!("Local cluster {verb} in {}.", short(watch.elapsed()));
    Ok(())
}

/// Stops the cluster and removes all of it; says when anything is left.
pub fn down() -> Result<()> {
    ensure!(nix::unistd::Uid::effective().is_root(), "the local cluster runs as root: run this as root");
    let _lock = lock()?;
    let watch = Stopwatch::start();
    clean::clean()?;
    println!("Local cluster stopped in {}; nothing of it is left.", short(watch.elapsed()));
    Ok(())
}

/// Whether there is a local cluster, running or not.
pub fn is_there() -> bool {
    Path::new(STATE).exists()
}

/// Prints one line a program; gives whether all run.
pub fn status() -> Result<bool> {
    let running = processes::members()?;
    let mut all = true;
    for program in programs::names() {
        let process = running.iter().find(|process| process.name == program);
        all &= process.is_some();
        let state = process.map_or("not running".to_owned(), |process| format!("running, process {}", process.pid));
        println!("{program:24} {state}");
    }
    println!("logs: {STATE}/logs");
    Ok(all)
}

/// Starts what does not run and waits until all of it answers.
fn start(workspace: &Workspace) -> Result<()> {
    let running = processes::members()?;
    let bin = workspace.bin();
    if !running.iter().any(|process| process.name == forward::NAME) {
        let listener = listen()?;
        fs::write(format!("{STATE}/port"), listener.local_addr()?.port().to_string())?;
        programs::start_forward(listener)?;
    }
    write_kubeconfig(workspace)?;
    programs::start(&bin, &["etcd", "containerd"], &running)?;
    programs::start(&bin, &["kube-apiserver"], &running)?;
    images::ensure_pause(workspace)?;
    programs::await_api_server(|| kubectl(workspace, &["get", "--raw=/readyz", "--request-timeout=5s"]).is_ok())?;
    let rest = ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns"];
    programs::start(&bin, &rest, &running)?;
    wait::until("a ready node and its service accounts", Duration::from_secs(60), || {
        programs::ensure_running(&rest)?;
        let ready = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        let node = kubectl(workspace, &["get", "node", config::NODE, ready, "--request-timeout=5s"]);
        let account = || kubectl(workspace, &["get", "serviceaccount", "default", "--namespace=default"]);
        Ok((node.is_ok_and(|status| status == "True") && account().is_ok()).then_some(()))
    })
    .with_context(|| format!("see the logs in {STATE}/logs"))
}

fn kubectl(workspace: &Workspace, args: &[&str]) -> Result<String> {
    let built = workspace.bin().join("kubectl");
    let program = if built.is_file() { built } else { "kubectl".into() };
    command::output(Command::new(program).args(args).env("KUBECONFIG", workspace.kubeconfig()))
}

/// The host's kubeconfig holds its certificates itself, so that it can be copied.
fn write_kubeconfig(workspace: &Workspace) -> Result<()> {
    let port = fs::read_to_string(format!("{STATE}/port"))?;
    let outside = format!("{STATE}/config/kubeconfig-outside");
    fs::write(&outside, config::kubeconfig(&format!("127.0.0.1:{port}"))?)?;
    let file = workspace.kubeconfig();
    let flat = kubectl(workspace, &["config", "view", "--flatten", "--raw", "--kubeconfig", &outside])?;
    fs::write(&file, flat).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?)
}

/// The port that earlier kubeconfigs name, else the usual one, else any.
fn listen() -> Result<TcpListener> {
    let earlier = fs::read_to_string(format!("{STATE}/port")).ok().and_then(|port| port.parse().ok());
    let ports = earlier.into_iter().chain([PORT, 0]);
    ports
        .map(|port| TcpListener::bind(("127.0.0.1", port)))
        .reduce(|found, next| found.or(next))
        .context("no port to try")?
        .context("no port of the loopback interface is free")
}

/// A cluster is ours to keep while its build, its configuration and the machine's boot are the same.
fn identity(stamp: &str, config: &Config) -> Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot tell one boot from another")?;
    Ok(format!("{stamp}\n{}\n{boot}", config.digest()?))
}

/// One `cargo cluster` at a time. Locks the folder that holds the state, as a lock file of our own would stay behind.
fn lock() -> Result<File> {
    let parent = Path::new(STATE).parent().context("the state has no parent folder")?;
    let folder = File::open(parent).with_context(|| format!("cannot open {}", parent.display()))?;
    if folder.try_lock().is_err() {
        println!("Another `cargo cluster` is at work: waiting for it.");
        folder.lock().context("cannot wait for the other `cargo cluster`")?;
    }
    Ok(folder)
}
