//! Cargo's own subcommands that are used here, each in a pinned version, built once into the target folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::{Workspace, cargo};

/// A subcommand of Cargo, from crates.io.
pub struct Tool {
    /// The package and the program, `cargo-NAME`.
    pub name: &'static str,
    /// The version that is used.
    pub version: &'static str,
}

impl Tool {
    /// The program; it is built if it is not there yet.
    pub fn install(&self, workspace: &Workspace) -> Result<PathBuf> {
        let Self { name, version } = self;
        let root = workspace.target.join("tools");
        let program = root.join("bin").join(name);
        // What Cargo has installed in a folder, it lists there.
        let installed = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        if !installed.contains(&format!("\"{name} {version} (")) {
            println!("Installing {name} {version} into {} (takes minutes, once).", root.display());
            let mut install = cargo();
            install.args(["install", "--locked", "--debug", "--quiet", name, "--version", version, "--root"]);
            install.arg(&root);
            // They run for seconds, and are built in minutes: without what a debugger wants it is fewer.
            install.env("CARGO_PROFILE_DEV_DEBUG", "false");
            // In the target folder, so that what was compiled is there again when the next version comes.
            install.arg("--target-dir").arg(root.join("build"));
            command::run(&mut install).with_context(|| format!("cannot install {name}"))?;
        }
        Ok(program)
    }
}
