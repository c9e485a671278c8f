//! Container images of this workspace's programs, built without a container engine.

pub mod archive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::tools::Tool;
use crate::workspace::Workspace;
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
    /// The program that is in it.
    pub program: PathBuf,
}

/// Writes into each program from what crates it was made, as scanners read it.
const AUDITABLE: Tool = Tool { name: "cargo-auditable", version: "0.7.7" };

/// Builds the programs static, in a folder of their own so that the usual builds stay as they are, and packs them.
pub fn build(workspace: &Workspace) -> Result<Vec<Packed>> {
    build_in(workspace, &workspace.root, &workspace.target.join("images"))
}

/// Builds images once more from a copy of this commit in another folder, and compares: whoever has the sources can check what
/// they are given.
pub fn reproduce(workspace: &Workspace, built: &[Packed]) -> Result<()> {
    let folder = workspace.target.join("reproduced");
    let copy = folder.join("src");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    command::run(Command::new("git").args(["clone", "--quiet", "--local"]).arg(&workspace.root).arg(&copy))?;
    let again = build_in(workspace, &copy, &folder.join("target"))?;
    for (once, twice) in built.iter().zip(&again) {
        ensure!(once.digest == twice.digest, "{} is {} here and {} there", once.name, once.digest, twice.digest);
        println!("{}: {} twice", once.name, once.digest);
    }
    Ok(())
}

fn build_in(workspace: &Workspace, root: &Path, target: &Path) -> Result<Vec<Packed>> {
    let host = command::output(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(root))?;
    let host = host.trim();
    let mut build = Command::new(AUDITABLE.install(workspace)?);
    // The target is named, or the flags would apply to procedural macros too, and these cannot be static.
    build.args(["auditable", "build", "--locked", "--release", "--target", host, "--target-dir"]).arg(target);
    command::without_package(&mut build).env("RUSTFLAGS", flags(root, target)?).current_dir(root);
    for name in NAMES {
        build.args(["--package", &format!("breakwater-{name}")]);
    }
    command::run(&mut build)?;
    let pack = |name| {
        let program = target.join(host).join("release").join(format!("breakwater-{name}"));
        let file = target.join(format!("{name}.tar"));
        let full_name = format!("docker.io/breakwater/{name}:{}", workspace.version);
        let parts = parts(&program)?;
        ensure!(parts.contains(&format!("breakwater-{name}")), "{} does not say what it is made of", program.display());
        let entrypoint = format!("/breakwater-{name}");
        let image = Image { name: &full_name, program: &program, entrypoint: &entrypoint, user: USER };
        let digest = archive::write(&image, &file).with_context(|| format!("cannot pack {full_name}"))?;
        Ok(Packed { name: full_name, digest, file, program })
    };
    NAMES.into_iter().map(pack).collect()
}

/// Static, and with nothing in them of where they were built.
fn flags(root: &Path, target: &Path) -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME says where Cargo keeps crates")?;
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    // Of several that fit, the last one counts.
    let paths = [remap(&home, "/cargo"), remap(root, "/src"), remap(target, "/target")];
    Ok(format!("-C target-feature=+crt-static {}", paths.join(" ")))
}

/// The crates that a program says it is made of.
fn parts(program: &Path) -> Result<Vec<String>> {
    let info = auditable_info::audit_info_from_file(program, Default::default());
    let info = info.with_context(|| format!("{} does not say what it is made of", program.display()))?;
    Ok(info.packages.into_iter().map(|package| package.name).collect())
}
