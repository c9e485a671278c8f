//! Builds the cluster's programs out of the Go modules in `cluster/`, unless they are built already.

mod progress;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::command;
use crate::workspace::Workspace;

/// The Kubernetes release that `cluster/kubernetes/go.mod` pins.
const MINOR: u32 = 37;
/// Without these the programs call themselves `v0.0.0-master`, and Helm and kubectl compare versions.
const KUBERNETES_VERSION: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
    -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2 \
    -X k8s.io/client-go/pkg/version.gitMajor=1 -X k8s.io/client-go/pkg/version.gitMinor=37";
/// What Go's modules, its build cache and the programs take.
const DISK_GIB: u64 = 8;

/// Programs that are built by one call of `go build`.
struct Unit {
    name: &'static str,
    module: &'static str,
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    tags: &'static str,
    ldflags: &'static str,
}

const CLUSTER: [Unit; 4] = [
    Unit {
        name: "etcd",
        module: "etcd",
        packages: &["go.etcd.io/etcd/server/v3"],
        programs: &["etcd"],
        tags: "",
        ldflags: "-s -w",
    },
    Unit {
        name: "kubernetes",
        module: "kubernetes",
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet",
        ],
        programs: &["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet"],
        tags: "",
        ldflags: KUBERNETES_VERSION,
    },
    Unit {
        name: "containerd",
        module: "containerd",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        programs: &["containerd", "containerd-shim-runc-v2", "ctr"],
        tags: "no_btrfs,no_zfs,no_devmapper",
        ldflags: "-s -w",
    },
    Unit {
        name: "coredns",
        module: "coredns",
        packages: &["github.com/coredns/coredns"],
        programs: &["coredns"],
        tags: "",
        ldflags: "-s -w",
    },
];

const KUBECTL: Unit = Unit {
    name: "kubectl",
    module: "kubernetes",
    packages: &["k8s.io/kubernetes/cmd/kubectl"],
    programs: &["kubectl"],
    tags: "",
    ldflags: KUBERNETES_VERSION,
};

const HELM: Unit = Unit {
    name: "helm",
    module: "helm",
    packages: &["helm.sh/helm/v4/cmd/helm"],
    programs: &["helm"],
    tags: "",
    ldflags: "-s -w",
};

/// All that the local cluster runs, and kubectl and helm where this machine has none that fit.
pub fn all(workspace: &Workspace) -> Result<()> {
    build(workspace, CLUSTER.into_iter().chain(missing_tools()).collect())
}

/// What a control plane without nodes runs, and the kubectl of the same release.
pub fn control_plane(workspace: &Workspace) -> Result<PathBuf> {
    let units = CLUSTER.into_iter().filter(|unit| ["etcd", "kubernetes"].contains(&unit.name));
    build(workspace, units.chain([KUBECTL]).collect())?;
    Ok(workspace.bin())
}

/// kubectl and helm, where this machine has none that fit.
pub fn tools(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, missing_tools())?;
    let built = workspace.bin().join("kubectl");
    if built.is_file() { Ok(built) } else { command::find("kubectl").context("kubectl is gone from PATH") }
}

/// The programs' identity: changes with their sources, their flags and the Go that builds them.
pub fn stamp(workspace: &Workspace) -> Result<String> {
    let go = go_version()?;
    let stamps: Result<Vec<String>> = CLUSTER.iter().map(|unit| unit.stamp(workspace, &go)).collect();
    Ok(stamps?.concat())
}

fn missing_tools() -> Vec<Unit> {
    let mut units = Vec::new();
    if !kubectl_on_path().is_some_and(kubectl_fits) {
        units.push(KUBECTL);
    }
    if !helm_on_path().is_some_and(helm_fits) {
        units.push(HELM);
    }
    units
}

fn build(workspace: &Workspace, units: Vec<Unit>) -> Result<()> {
    let bin = workspace.bin();
    let go = match go_version() {
        Ok(go) => go,
        Err(_) if units.is_empty() => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut stale = Vec::new();
    for unit in units {
        let stamp = unit.stamp(workspace, &go)?;
        let stamped = fs::read_to_string(bin.join(format!(".{}.stamp", unit.name))).is_ok_and(|text| text == stamp);
        if !stamped || !unit.programs.iter().all(|program| bin.join(program).is_file()) {
            stale.push((unit, stamp));
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    ensure_go(&go)?;
    fs::create_dir_all(&bin)?;
    ensure_disk(&bin)?;
    let names: Vec<&str> = stale.iter().map(|(unit, _)| unit.name).collect();
    println!("Building with Go: {}. The first time takes minutes; Go's cache keeps what is built.", names.join(", "));
    for (unit, stamp) in stale {
        unit.build(workspace)?;
        fs::write(bin.join(format!(".{}.stamp", unit.name)), stamp)?;
    }
    Ok(())
}

impl Unit {
    fn stamp(&self, workspace: &Workspace, go: &str) -> Result<String> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let path = workspace.root.join("cluster").join(self.module).join(file);
            hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        hash.update(format!("{go}\n{}\n{}\n{:?}", self.tags, self.ldflags, self.packages));
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Builds beside the programs and moves into place: a running program's file cannot be written.
    fn build(&self, workspace: &Workspace) -> Result<()> {
        let bin = workspace.bin();
        let fresh = bin.join(format!(".{}.new", self.name));
        fs::create_dir_all(&fresh)?;
        let mut go = Command::new("go");
        go.args(["build", "-v", "-trimpath", "-ldflags", self.ldflags, "-tags", self.tags, "-o"])
            .arg(if let [one] = self.programs { fresh.join(one) } else { fresh.clone() })
            .args(self.packages)
            .env("CGO_ENABLED", "0")
            .current_dir(workspace.root.join("cluster").join(self.module));
        progress::run(self.name, &mut go, &workspace.target.join("cluster/build-times.json"))?;
        for program in self.programs {
            fs::rename(fresh.join(program), bin.join(program))
                .with_context(|| format!("go build made no {program}"))?;
        }
        Ok(fs::remove_dir_all(&fresh)?)
    }
}

fn go_version() -> Result<String> {
    command::output(Command::new("go").args(["env", "GOVERSION"]))
        .map(|version| version.trim().to_owned())
        .context("the cluster is built with Go, which is not on PATH: install Go 1.26 from https://go.dev/dl")
}

fn ensure_go(version: &str) -> Result<()> {
    let fits = numbers(version).is_some_and(|version| version >= (1, 26));
    ensure!(fits, "this is {version}, and the cluster's programs need Go 1.26: install it from https://go.dev/dl");
    Ok(())
}

fn ensure_disk(bin: &std::path::Path) -> Result<()> {
    let cache = command::output(Command::new("go").args(["env", "GOCACHE"]))?;
    let cache = PathBuf::from(cache.trim());
    fs::create_dir_all(&cache)?;
    for folder in [bin, &cache] {
        let stat = nix::sys::statvfs::statvfs(folder)?;
        let free = stat.blocks_available() * stat.fragment_size() / (1 << 30);
        if free < DISK_GIB {
            bail!("{} has {free} GiB free, and building takes up to {DISK_GIB}: make room there", folder.display());
        }
    }
    Ok(())
}

fn kubectl_on_path() -> Option<(u32, u32)> {
    let json = command::output(Command::new("kubectl").args(["version", "--client", "--output=json"])).ok()?;
    let version: serde_json::Value = serde_json::from_str(&json).ok()?;
    numbers(version["clientVersion"]["gitVersion"].as_str()?)
}

fn helm_on_path() -> Option<(u32, u32)> {
    numbers(&command::output(Command::new("helm").args(["version", "--short"])).ok()?)
}

/// kubectl is supported within one minor version of the API server (<https://kubernetes.io/releases/version-skew-policy/>).
fn kubectl_fits((major, minor): (u32, u32)) -> bool {
    major == 1 && minor.abs_diff(MINOR) <= 1
}

/// `--take-ownership` came with Helm 3.17.
fn helm_fits(version: (u32, u32)) -> bool {
    version >= (3, 17)
}

/// The first two numbers of a version: `v1.37.2`, `go1.26.8`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts =
        version.trim().trim_start_matches(|c: char| !c.is_ascii_digit()).split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, version) in [
            ("v1.37.2", Some((1, 37))),
            ("go1.26.8\n", Some((1, 26))),
            ("go1.27rc1", Some((1, 27))),
            ("v4.3.1+gabc", Some((4, 3))),
            ("devel", None),
            ("", None),
        ] {
            assert_eq!(numbers(text), version, "{text}");
        }
    }

    #[test]
    fn tools_too_far_from_the_cluster_do_not_fit() {
        for (minor, fits) in [(32, false), (35, false), (36, true), (37, true), (38, true), (39, false)] {
            assert_eq!(kubectl_fits((1, minor)), fits, "1.{minor}");
        }
        for (version, fits) in [((3, 16), false), ((3, 17), true), ((4, 0), true), ((2, 17), false)] {
            assert_eq!(helm_fits(version), fits, "{version:?}");
        }
    }
}
