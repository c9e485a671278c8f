//! What the local cluster takes from Debian.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Package, and a program that it brings.
const PACKAGES: [(&str, &str); 4] =
    [("runc", "runc"), ("nftables", "nft"), ("iproute2", "ip"), ("containernetworking-plugins", "bridge")];

/// Installs what is missing, saying so first.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, program)| find(program).is_none()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if command::find("apt-get").is_none() {
        bail!("missing: {list} (Debian's names), and there is no apt-get: install them by your own package manager");
    }
    println!("Installing from Debian: {list}");
    if install(&missing).is_err() {
        println!("Package lists may be missing or old: apt-get update");
        apt(&["update"]).context("cannot fetch Debian's package lists: is there a way to a Debian mirror?")?;
        install(&missing).with_context(|| format!("cannot install {list}: install them by hand"))?;
    }
    for (package, program) in PACKAGES {
        find(program)
            .with_context(|| format!("the package {package} is installed, but its `{program}` is not there"))?;
    }
    Ok(())
}

/// The folder of the CNI plugins, which are on nobody's `PATH`.
pub fn cni_folder() -> Option<PathBuf> {
    let folders = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
    folders.iter().map(Path::new).find(|folder| folder.join("bridge").is_file()).map(Path::to_owned)
}

fn find(program: &str) -> Option<PathBuf> {
    if program == "bridge" { cni_folder() } else { command::find(program) }
}

fn install(packages: &[&str]) -> Result<()> {
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt(args: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    command::output(apt.args(["-o", "DPkg::Lock::Timeout=120"]).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
        .map(drop)
}
