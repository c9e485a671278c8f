//! Where things are: the checkout, Cargo's target folder, the version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// This checkout.
pub struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder, as Cargo itself resolves it.
    pub target: PathBuf,
    /// The version that all crates share; also the images' tag.
    pub version: String,
    /// The oldest compiler that all crates promise to build with.
    pub rust_version: String,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    rust_version: String,
}

impl Workspace {
    /// Asks Cargo.
    pub fn find() -> Result<Self> {
        let json = command::output(
            cargo()
                .args(["metadata", "--format-version=1", "--no-deps"])
                .current_dir(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into())),
        )?;
        let metadata: Metadata = serde_json::from_str(&json).context("cargo metadata printed something unexpected")?;
        let own = metadata.packages.into_iter().find(|package| package.name == env!("CARGO_PKG_NAME"));
        let own = own.context("cargo metadata does not list this package")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            version: own.version,
            rust_version: own.rust_version,
        })
    }

    /// The cluster's programs, as built from `cluster/`.
    pub fn bin(&self) -> PathBuf {
        self.target.join("cluster/bin")
    }

    /// The kubeconfig for programs on the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.target.join("cluster/kubeconfig")
    }

    /// `PATH` with what was built here in front.
    pub fn path(&self) -> std::ffi::OsString {
        prefixed_path(&self.bin())
    }
}

/// `PATH` with `folder` in front.
fn prefixed_path(folder: &Path) -> std::ffi::OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

/// The Cargo that runs us.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command::without_package(&mut cargo);
    cargo
}
