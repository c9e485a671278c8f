//! Container images of this workspace's programs, built without a container engine.

pub mod archive;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::{Workspace, cargo};
use archive::Image;

/// The programs that have an image each; `breakwater-NAME` is the package and the program.
const NAMES: [&str; 3] = ["operator", "backend", "client"];
/// A user that is nobody's, as in the Dockerfile.
const USER: u32 = 65532;

/// An image in an archive.
pub struct Packed {
    /// The whole name with its tag.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    /// An OCI archive.
    pub file: PathBuf,
}

/// Builds the programs static, in a folder of their own so that the usual builds stay as they are, and packs them.
pub fn build(workspace: &Workspace) -> Result<Vec<Packed>> {
    let host = command::output(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(&workspace.root))?;
    let host = host.trim();
    let folder = workspace.target.join("images");
    let mut build = Command::new(cargo());
    // The target is named, or the flag would apply to procedural macros too, and these cannot be static.
    build.args(["build", "--release", "--target", host, "--target-dir"]).arg(&folder);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").current_dir(&workspace.root);
    for name in NAMES {
        build.args(["--package", &format!("breakwater-{name}")]);
    }
    command::run(&mut build)?;
    let pack = |name| {
        let program = folder.join(host).join("release").join(format!("breakwater-{name}"));
        let file = folder.join(format!("{name}.tar"));
        let full_name = format!("docker.io/breakwater/{name}:{}", workspace.version);
        let entrypoint = format!("/breakwater-{name}");
        let image = Image { name: &full_name, program: &program, entrypoint: &entrypoint, user: USER };
        let digest = archive::write(&image, &file).with_context(|| format!("cannot pack {full_name}"))?;
        Ok(Packed { name: full_name, digest, file })
    };
    NAMES.into_iter().map(pack).collect()
}
