//! What a machine shows of a cluster: taken before `up` and after `down`, the two must not differ.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

/// One line for each thing seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

/// Folders that a cluster's programs are known to fill.
const FOLDERS: [&str; 16] = [
    "/etc/cni",
    "/opt/cni",
    "/run/breakwater",
    "/run/containerd",
    "/run/flannel",
    "/run/netns",
    "/run/runc",
    "/usr/libexec/kubernetes",
    "/var/lib/breakwater",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/etc/kubernetes",
];

impl Traces {
    /// Looks at mounts, control groups, network namespaces, links, routes, firewall, folders and the processes of containers.
    pub fn take() -> Result<Self> {
        let mut lines = BTreeSet::new();
        for mount in fs::read_to_string("/proc/self/mounts")?.lines() {
            lines.insert(format!("mount {}", mount.split(' ').nth(1).unwrap_or(mount)));
        }
        groups(Path::new("/sys/fs/cgroup"), 3, &mut lines);
        for process in entries(Path::new("/proc")) {
            if let Ok(name) = fs::read_link(process.join("ns/net")) {
                lines.insert(format!("network namespace {}", name.display()));
            }
        }
        for link in entries(Path::new("/sys/class/net")) {
            lines.insert(format!("link {}", link.display()));
        }
        for route in fs::read_to_string("/proc/net/route").unwrap_or_default().lines() {
            lines.insert(format!("route {route}"));
        }
        if let Some(nft) = command::find("nft") {
            for table in command::output(Command::new(nft).args(["list", "tables"]))?.lines() {
                lines.insert(format!("nftables {table}"));
            }
        }
        for folder in FOLDERS.iter().map(Path::new).filter(|folder| folder.exists()) {
            lines.insert(format!("folder {}", folder.display()));
            lines.extend(entries(folder).iter().map(|entry| format!("file {}", entry.display())));
        }
        for process in super::processes::members()? {
            lines.insert(format!("process {} {}", process.pid, process.name));
        }
        Ok(Self(lines))
    }

    /// An error that lists what is here and was not before.
    pub fn ensure_none_since(&self, before: &Self) -> Result<()> {
        let new: Vec<&str> = self.0.difference(&before.0).map(String::as_str).collect();
        if new.is_empty() {
            return Ok(());
        }
        bail!("the cluster (or somebody else meanwhile) left behind:\n  {}", new.join("\n  "))
    }
}

fn groups(folder: &Path, depth: usize, lines: &mut BTreeSet<String>) {
    for entry in entries(folder).into_iter().filter(|entry| entry.is_dir() && !entry.is_symlink()) {
        lines.insert(format!("control group {}", entry.display()));
        if depth > 0 {
            groups(&entry, depth - 1, lines);
        }
    }
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(lines: &[&str]) -> Traces {
        Traces(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn only_what_is_new_is_told() {
        let before = traces(&["mount /", "link eth0"]);
        traces(&["mount /"]).ensure_none_since(&before).unwrap();
        let error = traces(&["mount /", "mount /var/lib/breakwater/netns"]).ensure_none_since(&before).unwrap_err();
        assert!(error.to_string().ends_with("\n  mount /var/lib/breakwater/netns"), "{error}");
    }
}
