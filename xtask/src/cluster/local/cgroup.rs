//! The cluster's control groups. They say which processes are the cluster's: a process cannot leave its group, its children
//! are born into it, and unlike a number in a file it never means another process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

const NAME: &str = "breakwater";

struct Hierarchy {
    root: PathBuf,
    kind: Version,
    options: String,
}

#[derive(PartialEq)]
enum Version {
    V1,
    V2,
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(parse_mounts(&fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let kind = match *fields.get(2)? {
                "cgroup" => Version::V1,
                "cgroup2" => Version::V2,
                _ => return None,
            };
            Some(Hierarchy { root: fields[1].into(), kind, options: (*fields.get(3)?).to_owned() })
        })
        .collect()
}

/// Makes the groups: one for pods, which the kubelet fills, and one for the cluster's own programs.
pub fn create() -> Result<()> {
    let hierarchies = hierarchies()?;
    for hierarchy in &hierarchies {
        let group = hierarchy.root.join(NAME);
        fs::create_dir_all(&group).with_context(|| format!("cannot make the control group {}", group.display()))?;
        if hierarchy.kind == Version::V2 {
            // Pods get limits only from controllers that every group above them passes on.
            for folder in [&hierarchy.root, &group] {
                let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
                for controller in controllers.split_whitespace() {
                    let _not_every_kernel_passes_all =
                        fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
    }
    let programs = programs(&hierarchies)?;
    fs::create_dir_all(&programs).with_context(|| format!("cannot make the control group {}", programs.display()))
}

/// Moves the calling process into the group of the cluster's programs.
pub fn join() -> Result<()> {
    let file = programs(&hierarchies()?)?.join("cgroup.procs");
    fs::write(&file, "0").with_context(|| format!("cannot enter the control group by {}", file.display()))
}

/// One hierarchy is enough to know a process by: `pids`, or the only one of cgroup v2.
fn programs(hierarchies: &[Hierarchy]) -> Result<PathBuf> {
    let pids = hierarchies.iter().find(|one| one.options.split(',').any(|option| option == "pids"));
    let unified = || hierarchies.iter().find(|one| one.kind == Version::V2);
    let root = &pids.or_else(unified).context("no control groups are mounted under /sys/fs/cgroup")?.root;
    Ok(root.join(NAME).join("programs"))
}

/// Where a process stands, by the text of its `/proc/PID/cgroup`.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Elsewhere,
    Program,
    Pod,
}

/// Reads a `/proc/PID/cgroup`.
pub fn place(text: &str) -> Place {
    let inside = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix('/')?.strip_prefix(NAME));
    let mut place = Place::Elsewhere;
    for rest in inside {
        match rest.split('/').nth(1) {
            Some("kubepods") => return Place::Pod,
            _ if rest.is_empty() || rest.starts_with('/') => place = Place::Program,
            _ => {}
        }
    }
    place
}

/// The groups that are there.
pub fn groups() -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.root.join(NAME)).filter(|group| group.exists()).collect())
}

/// Removes the groups. The kernel lets go of one only a moment after its last process.
pub fn remove() -> Result<()> {
    for group in groups()? {
        wait::until(&format!("removing the control group {}", group.display()), Duration::from_secs(10), || {
            Ok(remove_tree(&group).is_ok().then_some(()))
        })?;
    }
    Ok(())
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_group() {
        for (text, expected) in [
            ("8:pids:/breakwater/programs\n0::/", Place::Program),
            ("0::/breakwater/programs", Place::Program),
            (
                "8:pids:/breakwater/kubepods/burstable/podabc/1\n1:cpu:/breakwater/kubepods/burstable/podabc/1",
                Place::Pod,
            ),
            ("0::/breakwater/kubepods/besteffort/podabc/1", Place::Pod),
            ("8:pids:/\n0::/", Place::Elsewhere),
            ("8:pids:/breakwater-other/programs", Place::Elsewhere),
            ("8:pids:/kubepods/breakwater", Place::Elsewhere),
            ("", Place::Elsewhere),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }

    #[test]
    fn programs_stand_in_the_hierarchy_of_process_numbers() {
        let v1 = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0";
        assert_eq!(programs(&parse_mounts(v1)).unwrap(), Path::new("/sys/fs/cgroup/pids/breakwater/programs"));
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0";
        assert_eq!(programs(&parse_mounts(v2)).unwrap(), Path::new("/sys/fs/cgroup/breakwater/programs"));
        assert!(programs(&parse_mounts("")).is_err());
    }
}
