//! The cluster's network namespace: its addresses clash with nobody's, and nothing can leave it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::config::ADDRESS;
use crate::command;

/// The namespace is held by this mount, whether a process is in it or not.
const NETNS: &str = "/var/lib/breakwater/netns";

/// Makes the namespace, with a loopback and a bridge that bears the node's address.
pub fn create() -> Result<()> {
    File::create(NETNS).context("cannot make the mount point of the network namespace")?;
    on_a_thread(|| {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
        nix::mount::mount(Some("/proc/thread-self/ns/net"), NETNS, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .context("cannot keep the network namespace")?;
        let ip = command::find("ip").context("`ip` is missing: install iproute2")?;
        for args in [
            "link set lo up",
            // A bridge, as not every kernel has dummy links.
            "link add name node type bridge",
            &format!("address add {ADDRESS}/32 dev node"),
            "link set node up",
        ] {
            command::output(Command::new(&ip).args(args.split(' ')))?;
        }
        Ok(())
    })
}

/// Whether the namespace is there.
pub fn exists() -> bool {
    fs::read_to_string("/proc/self/mounts")
        .is_ok_and(|mounts| mounts.lines().any(|line| line.split(' ').nth(1) == Some(NETNS)))
        && Path::new(NETNS).exists()
}

/// Moves the calling thread into the namespace.
pub fn enter() -> Result<()> {
    let file = File::open(NETNS).context("the cluster's network namespace is not there")?;
    nix::sched::setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the cluster's network namespace")
}

/// Whether somebody inside the namespace accepts connections at `address`.
pub fn accepts(address: &'static str) -> bool {
    on_a_thread(move || connect(address).map(drop)).is_ok()
}

/// Whether an HTTP server inside the namespace answers 200.
pub fn answers(address: &'static str, path: &'static str) -> bool {
    let get = move || -> Result<bool> {
        let mut stream = connect(address)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    };
    on_a_thread(get).unwrap_or(false)
}

fn connect(address: &str) -> Result<TcpStream> {
    enter()?;
    let address: SocketAddr = address.parse()?;
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

/// A namespace is a thread's: one that ends takes nobody else along. What it starts is born inside.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    std::thread::spawn(work).join().map_err(|_| anyhow!("a thread in the network namespace panicked"))?
}
