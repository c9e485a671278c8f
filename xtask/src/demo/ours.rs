//! What a demo has made in a cluster, and what is somebody else's: that is neither replaced nor removed.

use anyhow::{Result, ensure};

use super::{DEMO_NAMESPACE, OPERATOR_NAMESPACE};
use crate::cluster::Cluster;
use crate::command;

/// On the demo's release and on its namespace.
pub const LABEL: &str = "breakwater.dev/made-by=cargo-demo";

/// No release and no namespace of somebody else stands in the demo's place.
pub fn ensure(cluster: &Cluster<'_>) -> Result<()> {
    let releases = |further: &[&str]| {
        let mut helm = cluster.tool("helm");
        helm.args(["list", "--namespace", OPERATOR_NAMESPACE, "--filter", "^breakwater$", "--short"]);
        // What was interrupted too: Helm 3 leaves it out where it is not asked for, and Helm 4 has no --all.
        helm.args(["--deployed", "--failed", "--pending"]);
        command::output(helm.args(further)).map(|names| !names.trim().is_empty())
    };
    ensure!(
        !releases(&[])? || releases(&["--selector", LABEL])?,
        "there is a release `breakwater` in the namespace {OPERATOR_NAMESPACE}, and no demo has made it: it would be replaced or \
         removed. Uninstall it yourself, or use another cluster."
    );
    let namespaces = |further: &[&str]| {
        let field = format!("metadata.name={DEMO_NAMESPACE}");
        let mut kubectl = cluster.kubectl();
        kubectl.args(["get", "namespaces", "--output=name", "--field-selector", &field]);
        command::output(kubectl.args(further)).map(|names| !names.trim().is_empty())
    };
    ensure!(
        !namespaces(&[])? || namespaces(&["--selector", LABEL])?,
        "there is a namespace `{DEMO_NAMESPACE}`, and no demo has made it: the demo would kill what it finds there. Delete it \
         yourself, or use another cluster."
    );
    Ok(())
}
