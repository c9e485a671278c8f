//! Takes the cluster away, whatever state it is in, and looks whether all of it is gone.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};

use super::{STATE, cgroup, processes};

/// A program that has not ended by then is killed.
const GRACE: Duration = Duration::from_secs(5);
/// containerd's shims keep their sockets here, whatever folder containerd is given.
const SHIM_SOCKETS: &str = "/run/containerd/s";
/// The kubelet puts a link to every container's log here.
const LOG_LINKS: &str = "/var/log/containers";
/// The CNI library remembers here what it did, for the loopback under the names of sandboxes.
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// The kubelet listens here, whatever folder it is given.
const KUBELET_SOCKET: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";
/// Folders that are removed when they are empty, innermost first: the programs make them outside of the state.
const EMPTIED: [&str; 8] = [
    SHIM_SOCKETS,
    "/run/containerd",
    LOG_LINKS,
    CNI_RESULTS,
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet/pod-resources",
    "/var/lib/kubelet",
];

/// Removes everything. Who starts others goes first, and etcd last: an API server outlives its etcd by a minute.
pub fn clean() -> Result<()> {
    let sockets = shim_sockets();
    for names in [&["kube-scheduler", "kube-controller-manager"][..], &["kubelet"]] {
        processes::stop(GRACE, |process| !process.pod && names.contains(&&*process.name))?;
    }
    processes::stop(Duration::ZERO, |process| process.pod)?;
    processes::stop(Duration::ZERO, |process| process.name.starts_with("containerd-shim"))?;
    processes::stop(GRACE, |process| !["kube-apiserver", "etcd"].contains(&&*process.name))?;
    processes::stop(GRACE, |process| process.name == "kube-apiserver")?;
    processes::stop(GRACE, |_| true)?;
    unmount_all()?;
    if !other_kubelet() {
        super::super::remove(Path::new(KUBELET_SOCKET))?;
    }
    sockets.iter().chain(&log_links()).chain(&cni_results()).try_for_each(|file| super::super::remove(file))?;
    cgroup::remove()?;
    match fs::remove_dir_all(STATE) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(format!("cannot remove {STATE}"));
        }
        _ => {}
    }
    for folder in EMPTIED {
        let _not_empty_or_not_there = fs::remove_dir(folder);
    }
    let left = leftovers()?;
    if !left.is_empty() {
        bail!("this is left of the cluster:\n  {}", left.join("\n  "));
    }
    Ok(())
}

/// What is still there of the cluster.
fn leftovers() -> Result<Vec<String>> {
    let processes =
        processes::members()?.into_iter().map(|process| format!("process {} {}", process.pid, process.name));
    let groups = cgroup::groups()?.into_iter().map(|group| format!("control group {}", group.display()));
    let mounts = mounts()?.into_iter().map(|mount| format!("mount {}", mount.display()));
    let links = log_links().into_iter().chain(cni_results()).map(|file| format!("file {}", file.display()));
    let state = Path::new(STATE).exists().then(|| format!("folder {STATE}"));
    Ok(processes.chain(groups).chain(mounts).chain(links).chain(state).collect())
}

/// Nothing may be mounted when the state is removed: what is mounted there belongs to somebody else.
fn unmount_all() -> Result<()> {
    for mount in mounts()?.iter().rev() {
        if umount2(mount, MntFlags::UMOUNT_NOFOLLOW).is_err() {
            umount2(mount, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {}", mount.display()))?;
        }
    }
    match mounts()?.first() {
        Some(mount) => bail!("{} is still mounted", mount.display()),
        None => Ok(()),
    }
}

/// The mounts in the state's folder, in the order in which they were made.
fn mounts() -> Result<Vec<PathBuf>> {
    Ok(mounts_below(&fs::read_to_string("/proc/self/mounts")?, Path::new(STATE)))
}

fn mounts_below(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    // The kernel writes a blank, a tab, a line's end and a backslash as octal numbers.
    let unescape = |point: &str| {
        [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
            .iter()
            .fold(point.to_owned(), |point, (code, character)| point.replace(code, character))
    };
    points.map(|point| PathBuf::from(unescape(point))).filter(|point| point.starts_with(folder)).collect()
}

/// Every shim has written the address of its socket into its folder.
fn shim_sockets() -> Vec<PathBuf> {
    let tasks = Path::new(STATE).join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    let addresses = entries(&tasks).into_iter().flat_map(|task| {
        let bootstrap = fs::read(task.join("bootstrap.json")).ok();
        let bootstrap = bootstrap.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
        [
            bootstrap.and_then(|json| json["address"].as_str().map(str::to_owned)),
            fs::read_to_string(task.join("address")).ok(),
        ]
    });
    addresses
        .flatten()
        .filter_map(|address| address.trim().strip_prefix("unix://").map(PathBuf::from))
        .filter(|socket| socket.starts_with(SHIM_SOCKETS))
        .collect()
}

fn log_links() -> Vec<PathBuf> {
    let ours = |link: &PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(STATE));
    entries(Path::new(LOG_LINKS)).into_iter().filter(ours).collect()
}

fn cni_results() -> Vec<PathBuf> {
    let ours = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains(STATE));
    entries(Path::new(CNI_RESULTS)).into_iter().filter(ours).collect()
}

/// Whether a kubelet runs on this machine that is not the cluster's: it would lose its device plugins to ours.
pub fn other_kubelet() -> bool {
    UnixStream::connect(KUBELET_SOCKET).is_ok()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_below_is_found() {
        let mounts = "/dev/a / ext4 rw 0 0\nnsfs /var/lib/breakwater/netns nsfs rw 0 0\n\
            tmpfs /var/lib/breakwater/kubelet/pods/a\\040b tmpfs rw 0 0\ntmpfs /var/lib/breakwater-other tmpfs rw 0 0";
        let expected = ["/var/lib/breakwater/netns", "/var/lib/breakwater/kubelet/pods/a b"].map(PathBuf::from);
        assert_eq!(mounts_below(mounts, Path::new("/var/lib/breakwater")), expected);
    }
}
