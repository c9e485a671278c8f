//! A selector that matches thousands.

use std::time::Duration;

use anyhow::{Result, ensure};
use breakwater_crds::{ChaosExperiment, Reason};
use breakwater_size::{run::Mark, wait::until};
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::{CROWD, PAGE, Place};

/// It is read page by page, and refused in words.
pub async fn is_refused(place: &Place) -> Result<()> {
    let from = Mark::set(&place.plane, &place.operator)?;
    let experiments: Api<ChaosExperiment> = Api::namespaced(place.town.client(), "crowd");
    let experiment = json!({
        "apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": "crowd"},
        "spec": {
            "target": {"selector": {"matchLabels": {"app": "crowd"}}, "pods": {"one": {}}},
            "kill": {"holdFor": "5s"},
            "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": 80, "breaker": "b"}]},
            "timeout": "70s"
        }
    });
    experiments.create(&PostParams::default(), &serde_json::from_value(experiment)?).await?;
    let reason = until("the crowd is refused", Duration::from_secs(60), async || {
        let status = experiments.get("crowd").await?.status.unwrap_or_default();
        Ok(status.reason.filter(|reason| *reason == Reason::TooManyTargets))
    });
    reason.await?;
    let asked = from.requests(&place.plane)?;
    let lists = asked.iter().filter(|one| one.verb == "list" && one.resource == "pods");
    let pages = lists.clone().filter(|one| one.uri.contains("continue=")).count();
    let looks = lists.count() - pages;
    println!("{CROWD} pods under one selector: {pages} further pages in {looks} lists");
    // At least the list that the watch begins from, and a look's.
    ensure!(pages >= 2 * (CROWD / PAGE - 1), "{CROWD} pods came in {pages} further pages");
    let mut over = experiments.get("crowd").await?;
    over.spec.suspend = true;
    experiments.replace("crowd", &PostParams::default(), &over).await?;
    place.operator.at_rest().await
}
