//! The plain way beside which the operator is measured: `kubectl delete pod`, a program for each kill.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::{
    ControlPlane, OPERATOR, Town, program,
    run::{Mark, Percentiles, between},
    wait::now,
};

/// What the plain way takes.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// From the program's start to its end.
    pub took: Percentiles,
    /// Requests for each kill.
    pub requests: f64,
}

/// Kills so many pods, one after the other. It is done as the operator's user, before the operator runs, so that the API server's
/// log has these requests and no others.
///
/// # Errors
/// Where a pod is not killed.
pub async fn kubectl_delete(programs: &Path, plane: &ControlPlane, town: &Town, count: usize) -> Result<Plain> {
    town.quarter("plain").await?;
    town.crowd("plain", count).await?;
    let (kubeconfig, log) = (plane.kubeconfig(OPERATOR)?, plane.folder().join("kubectl.log"));
    let environment = [("KUBECONFIG", kubeconfig.as_os_str()), ("HOME", plane.folder().as_os_str())];
    let mut took = Vec::new();
    for number in 0..count {
        let pod = format!("crowd-{number}");
        let args = ["delete", "pod", &pod, "--namespace=plain", "--grace-period=0", "--wait=false"];
        let begun = now();
        let status = program::start(&programs.join("kubectl"), args, &environment, &log)?.wait().await?;
        took.push(between(begun, now()));
        ensure!(status.success(), "kubectl: {}", std::fs::read_to_string(&log)?);
    }
    let requests = Mark::default().requests(plane)?.len();
    Ok(Plain { took: Percentiles::of(took), requests: requests as f64 / count as f64 })
}
