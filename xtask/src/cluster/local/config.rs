//! The programs' configuration: the files of `cluster/config`, with the values that are known only here filled in.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{STATE, packages};
use crate::command;

/// The node's address, on the bridge `node`; also where CoreDNS answers.
pub const ADDRESS: &str = "10.200.0.1";
/// The API server, as programs inside the namespace reach it.
pub const API_SERVER: &str = "127.0.0.1:6443";
/// The node's name.
pub const NODE: &str = "breakwater";
/// The image of the first process of every pod.
pub const PAUSE_IMAGE: &str = "docker.io/breakwater/pause:1";

const FILES: [(&str, &str); 6] = [
    ("audit.yaml", include_str!("../../../../cluster/config/audit.yaml")),
    ("containerd.toml", include_str!("../../../../cluster/config/containerd.toml")),
    ("cni/10-breakwater.conflist", include_str!("../../../../cluster/config/cni.conflist")),
    ("kubelet.yaml", include_str!("../../../../cluster/config/kubelet.yaml")),
    ("Corefile", include_str!("../../../../cluster/config/Corefile")),
    ("kubeconfig", KUBECONFIG),
];
const KUBECONFIG: &str = include_str!("../../../../cluster/config/kubeconfig");

/// The values that stand for `{{runc}}` and `{{cni_bin}}`.
pub struct Config {
    runc: String,
    cni_bin: String,
}

impl Config {
    /// Looks for the programs that the configuration names.
    pub fn find() -> Result<Self> {
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        Ok(Self {
            runc: path(command::find("runc").context("runc is missing")?),
            cni_bin: path(packages::cni_folder().context("the CNI plugins are missing")?),
        })
    }

    /// Writes all files.
    pub fn write(&self) -> Result<()> {
        for (file, text) in self.files()? {
            let path = Path::new(STATE).join("config").join(file);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Changes when any file or any program's flags do.
    pub fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for (_, text) in self.files()? {
            hash.update(text);
        }
        for program in super::programs::names() {
            hash.update(format!("{:?}", super::programs::flags(program)?));
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn files(&self) -> Result<Vec<(&'static str, String)>> {
        let values = [("runc", &*self.runc), ("cni_bin", &*self.cni_bin)];
        FILES
            .into_iter()
            .map(|(file, text)| Ok((file, fill(text, &values).with_context(|| file.to_owned())?)))
            .collect()
    }
}

/// A kubeconfig for an API server at `address`.
pub fn kubeconfig(address: &str) -> Result<String> {
    fill(KUBECONFIG, &[("api_server", address)])
}

/// Fills in `{{name}}`: the given values first, then the fixed ones.
pub fn fill(text: &str, values: &[(&str, &str)]) -> Result<String> {
    let fixed = [("state", STATE), ("api_server", API_SERVER), ("pause_image", PAUSE_IMAGE)];
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").context("a `{{` without its `}}`")?;
        let Some((_, value)) = values.iter().chain(&fixed).find(|(known, _)| *known == name) else {
            bail!("`{{{{{name}}}}}` stands for nothing");
        };
        filled += before;
        filled += value;
        rest = after;
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let filled = fill("a={{state}}/x b={{runc}} {c}", &[("runc", "/bin/runc")]).unwrap();
        assert_eq!(filled, "a=/var/lib/breakwater/x b=/bin/runc {c}");
        assert_eq!(fill("{{api_server}}", &[("api_server", "127.0.0.1:1")]).unwrap(), "127.0.0.1:1");
        assert_eq!(fill("{{nobody}}", &[]).unwrap_err().to_string(), "`{{nobody}}` stands for nothing");
        assert!(fill("{{state", &[]).is_err());
    }

    #[test]
    fn every_file_can_be_filled_in() {
        let config = Config { runc: "/usr/sbin/runc".into(), cni_bin: "/usr/lib/cni".into() };
        assert!(config.files().unwrap().iter().all(|(_, text)| !text.contains("{{")));
        config.digest().unwrap();
    }
}
