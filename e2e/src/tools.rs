//! The users' own tools: `kubectl` and `helm`, and the checkout that they are given.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use tokio::{io::AsyncWriteExt, process::Command};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent folder").to_path_buf()
}

/// What a tool printed, and whether it was content.
#[derive(Clone, Debug)]
pub struct Printed {
    /// It exited with 0.
    pub ok: bool,
    /// What it printed to standard output.
    pub out: String,
    /// What it printed to standard error.
    pub err: String,
}

impl Printed {
    /// Standard output.
    ///
    /// # Errors
    /// Where the tool failed, with what it said.
    pub fn text(self) -> Result<String> {
        ensure!(self.ok, "{}{}", self.out, self.err);
        Ok(self.out)
    }
}

/// Runs `kubectl ARGS`, with this text on its standard input. `KUBECTL` says where it is, if it is not on the path.
///
/// # Errors
/// Where it cannot be started.
pub async fn kubectl(args: &[&str], input: &str) -> Result<Printed> {
    run("KUBECTL", "kubectl", args, input).await
}

/// Runs `helm ARGS`. `HELM` says where it is, if it is not on the path.
///
/// # Errors
/// Where it cannot be started.
pub async fn helm(args: &[&str]) -> Result<Printed> {
    run("HELM", "helm", args, "").await
}

async fn run(variable: &str, name: &str, args: &[&str], input: &str) -> Result<Printed> {
    let program = std::env::var(variable).unwrap_or_else(|_| name.into());
    let mut child = Command::new(&program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} cannot be started; install it, or say where it is by {variable}"))?;
    let mut stdin = child.stdin.take().context("its standard input is piped")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Printed { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) })
}
