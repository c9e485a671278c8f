//! Other programs: run them, take their output, say what went wrong.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What tells tests how much to play, or which part of it.
const CHOICES: [&str; 7] = [
    "BREAKWATER_EVERY",
    "BREAKWATER_LONG",
    "BREAKWATER_LONG_KILLS",
    "BREAKWATER_LONG_SEED",
    "BREAKWATER_SEED",
    "PROPTEST_CASES",
    "PROPTEST_RNG_SEED",
];

/// Hands none of the choices on that our own environment has: a check is the same for everybody.
pub fn without_choices(command: &mut Command) -> &mut Command {
    CHOICES.iter().fold(command, |command, choice| command.env_remove(choice))
}

/// What Cargo tells a program of the package that it is run from, by the beginnings of the variables' names.
const PACKAGE: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// Hands nothing on of what Cargo has told us of our own package. Crates whose build looks at that would be built anew, with all that is
/// built on them, whenever Cargo is run by us after it was run by hand.
pub fn without_package(command: &mut Command) -> &mut Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    let told = names.filter(|name| PACKAGE.iter().any(|begin| name.to_string_lossy().starts_with(begin)));
    told.fold(command, |command, name| command.env_remove(name))
}

/// Runs a program on our terminal; an error when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a program without showing it; gives its standard output, or an error with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        let said = [&output.stderr[..], &output.stdout[..]].concat();
        bail!("`{}` failed ({}): {}", line(command), output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program on our terminal with `input` as its standard input.
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).spawn().with_context(|| format!("cannot start `{}`", line(command)))?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Where a program is: on `PATH`, or in the folders of system programs, which an ordinary user's `PATH` leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_made_by_the_check_alone() {
        let mut command = Command::new("env");
        // What we hand on by ourselves stands for what comes from outside.
        command.env("BREAKWATER_EVERY", "100").env("BREAKWATER_SEED", "7").env("KUBECONFIG", "here");
        without_choices(&mut command).env("BREAKWATER_LONG", "1");
        let told = output(&mut command).unwrap();
        let has = |line: &str| told.lines().any(|one| one == line);
        assert!(has("BREAKWATER_LONG=1") && has("KUBECONFIG=here"), "{told}");
        assert!(!told.contains("BREAKWATER_EVERY") && !told.contains("BREAKWATER_SEED"), "{told}");
    }

    #[test]
    fn of_our_own_package_nothing_is_told() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "Cargo runs this test, and tells us");
        let told = output(without_package(&mut Command::new("env"))).unwrap();
        assert!(!told.contains("CARGO_PKG_") && !told.contains("CARGO_MANIFEST_"), "{told}");
        assert!(told.lines().any(|line| line.starts_with("PATH=")), "{told}");
    }
}
