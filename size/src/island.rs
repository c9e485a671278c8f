//! A network namespace without a way out, in which everything runs: its addresses clash with nobody's, and it is gone when the last
//! process in it is.

use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::CloneFlags;

/// The address that the API server tells; loopback is not allowed for it.
pub const NODE: &str = "10.200.0.1";
/// All addresses of pods lead to this machine.
const PODS: &str = "10.32.0.0/12";

/// Does the work in a namespace of its own; so do all threads and processes that it starts.
///
/// # Errors
/// Where the namespace cannot be made, as by another user than root; and those of the work.
pub fn on_an_island<T: Send>(work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    let on_it = || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace; run this as root")?;
        for args in [
            "link set lo up",
            &format!("address add {NODE}/32 dev lo"),
            // One connection at least for each pod; and a pod has an address of its own.
            &format!("route add local {PODS} dev lo"),
        ] {
            let output = Command::new("/sbin/ip").args(args.split(' ')).output().context("`ip` is missing")?;
            ensure!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(work())
    };
    std::thread::scope(|scope| scope.spawn(on_it).join()).map_err(|_| anyhow!("it panicked"))?
}

/// The address of the pod of this number.
pub fn address(number: usize) -> String {
    let [_, a, b, c] = u32::try_from(number + 1).unwrap_or_default().to_be_bytes();
    format!("10.{}.{b}.{c}", 32 + a % 16)
}
