//! Which cluster: as asked for, or for `auto` what this machine can run.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The local one on Linux as root, else kind; never the current context, which could be production
    #[default]
    Auto,
    /// Kubernetes from source in a network namespace of this machine (Linux, root, Go)
    Local,
    /// The cluster of kubectl's current context
    Current,
    /// A kind cluster named `breakwater` (kind and a container engine)
    Kind,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Local,
    Kind,
    Current,
}

impl Which {
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kind => "kind",
            Self::Current => "current",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Local, Self::Kind, Self::Current].into_iter().find(|kind| kind.name() == name.trim())
    }
}

/// What this machine has.
struct Machine {
    linux: bool,
    root: bool,
    kind: bool,
    engine: bool,
}

/// Chooses and says what and why.
pub fn choose(choice: Choice) -> Result<Which> {
    let machine = Machine {
        linux: cfg!(target_os = "linux"),
        root: nix::unistd::Uid::effective().is_root(),
        kind: command::find("kind").is_some(),
        engine: ["docker", "podman"].iter().any(|engine| command::output(Command::new(engine).arg("info")).is_ok()),
    };
    let (kind, why) = decide(choice, &machine)?;
    println!("Cluster: {} ({why}).", kind.name());
    Ok(kind)
}

fn decide(choice: Choice, machine: &Machine) -> Result<(Which, &'static str)> {
    let asked = "as asked for";
    match choice {
        Choice::Current => Ok((Which::Current, asked)),
        Choice::Local if !machine.linux => {
            bail!("the local cluster needs Linux: use `--cluster kind`, or a Linux machine")
        }
        Choice::Local if !machine.root => {
            bail!("the local cluster needs root, to make namespaces: run this as root, or use `--cluster kind`")
        }
        Choice::Local => Ok((Which::Local, asked)),
        Choice::Kind if !machine.kind => bail!("`kind` is not on PATH: install it from https://kind.sigs.k8s.io"),
        Choice::Kind if !machine.engine => bail!("no container engine answers: start Docker or Podman"),
        Choice::Kind => Ok((Which::Kind, asked)),
        Choice::Auto if machine.linux && machine.root => {
            Ok((Which::Local, "Linux and root: it can run on this machine"))
        }
        Choice::Auto if machine.kind && machine.engine => Ok((Which::Kind, "kind and a container engine are there")),
        Choice::Auto => bail!(
            "no cluster can run here: be root on Linux, or install kind with Docker or Podman, \
             or name a cluster of your own by `--cluster current`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(choice: Choice, [linux, root, kind, engine]: [bool; 4]) -> Option<Which> {
        decide(choice, &Machine { linux, root, kind, engine }).ok().map(|(kind, _)| kind)
    }

    #[test]
    fn auto_prefers_local_and_falls_back_to_kind() {
        for (machine, kind) in [
            ([true, true, true, true], Some(Which::Local)),
            ([true, true, false, false], Some(Which::Local)),
            ([true, false, true, true], Some(Which::Kind)),
            ([false, true, true, true], Some(Which::Kind)),
            ([true, false, true, false], None),
            ([true, false, false, true], None),
        ] {
            assert_eq!(chosen(Choice::Auto, machine), kind, "{machine:?}");
        }
    }

    #[test]
    fn auto_never_takes_the_current_context() {
        for bits in 0..16_u8 {
            let machine = [0, 1, 2, 3].map(|bit| bits & (1 << bit) != 0);
            assert_ne!(chosen(Choice::Auto, machine), Some(Which::Current), "{machine:?}");
        }
    }

    #[test]
    fn what_was_asked_for_is_refused_rather_than_replaced() {
        assert_eq!(chosen(Choice::Local, [true, false, true, true]), None);
        assert_eq!(chosen(Choice::Local, [false, true, true, true]), None);
        assert_eq!(chosen(Choice::Kind, [true, true, false, true]), None);
        assert_eq!(chosen(Choice::Kind, [true, true, true, false]), None);
        assert_eq!(chosen(Choice::Kind, [false, false, true, true]), Some(Which::Kind));
        assert_eq!(chosen(Choice::Current, [false; 4]), Some(Which::Current));
    }

    #[test]
    fn names_come_back() {
        for kind in [Which::Local, Which::Kind, Which::Current] {
            assert_eq!(Which::parse(kind.name()), Some(kind));
        }
    }
}
