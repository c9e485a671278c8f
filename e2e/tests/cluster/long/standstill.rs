//! The cluster under the operator stands still for a while.

use std::time::Duration;

use anyhow::{Result, ensure};
use breakwater_e2e::lab;

use super::{all_is_well, ends_as_it_began, in_the_middle, stop::stand_still};
use crate::check;

/// In the middle of an outage a program stands still. The operator does not fall, the run ends, and the next one passes.
async fn survives(name: &str, program: &str, time: Duration) {
    lab(name, &[], async |lab| -> Result<()> {
        let before = in_the_middle(lab).await?;
        stand_still(program, time).await?;
        ends_as_it_began(lab, &before).await?;
        ensure!(check::restarts(lab).await? == 0, "the operator fell");
        all_is_well(lab).await
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_api_server_stands_still_for_20_seconds() {
    survives("still-api", "kube-apiserver", Duration::from_secs(20)).await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn etcd_stands_still_for_10_seconds() {
    survives("still-etcd", "etcd", Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_kubelet_stands_still_for_30_seconds() {
    survives("still-kubelet", "kubelet", Duration::from_secs(30)).await;
}
