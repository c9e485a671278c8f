//! What the operator stands on is changed or taken away in the middle of a run. Nothing hangs.

use anyhow::{Context, Result, ensure};
use breakwater_e2e::{
    CLUSTER_WIDE, RUN, SOON, lab, reinstall_crd,
    tools::{helm, kubectl, root},
    wait::until,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};

use super::{OUTAGE, all_is_well, ends_as_it_began, in_the_middle};
use crate::check;

const CRD: &str = "crd/chaosexperiments.chaos.breakwater.dev";

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_definition_is_deleted_and_put_back() {
    lab("definition", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        kubectl(&["delete", CRD, "--timeout=30s"], "").await?.text().context("it hangs")?;
        reinstall_crd().await?;
        all_is_well(lab).await
    })
    .await;
}

/// An API that is newer than the chart has a way to kill whose right the chart's policy does not know: nobody may ask for it.
#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn a_method_that_the_chart_does_not_know_is_nobodys() {
    lab("method", &["demo.enabled=false"], async |lab| -> Result<()> {
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/kill/properties/method/enum/-";
        let newer = format!(r#"[{{"op":"add","path":"{path}","value":"Drown"}}]"#);
        kubectl(&["patch", CRD, "--type=json", "-p", &newer], "").await?.text()?;
        let manifest = OUTAGE.replace("holdFor: 15s", "method: Drown");
        let outcome = until("it is refused by the policy", SOON * 2, async || {
            let said = lab.kubectl(&["create", "--dry-run=server", "-f", "-"], &manifest).await?;
            ensure!(!said.ok, "it was allowed: {}", said.out);
            ensure!(said.err.contains("this release knows no kill.method Drown"), "{}", said.err);
            Ok(Some(()))
        })
        .await;
        reinstall_crd().await?;
        outcome
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_chart_is_upgraded_in_the_middle_of_a_run() {
    lab("upgrade", &[], async |lab| -> Result<()> {
        let before = in_the_middle(lab).await?;
        let chart = root().join("charts/breakwater");
        let chart = chart.to_str().context("the path of the checkout is text")?;
        let values = ["--reuse-values", "--set-string", "operator.podAnnotations.upgraded=yes"];
        let args = ["upgrade", "breakwater", chart, "--namespace", &lab.namespace, "--wait", "--timeout", "2m"];
        helm(&[&args[..], &values].concat()).await?.text()?;
        let status = ends_as_it_began(lab, &before).await?;
        check::passed_unless_interrupted(&status)?;
        all_is_well(lab).await
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn all_is_uninstalled_with_experiments_left() {
    lab("uninstall", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        lab.apply(&OUTAGE.replace("name: outage", "name: waits")).await?;
        let args = ["uninstall", "breakwater", "--namespace", &lab.namespace, "--wait", "--timeout", "2m"];
        helm(&args).await?.text().context("it hangs")?;
        let left = lab.experiments().get("outage").await?;
        ensure!(left.status.is_some(), "its record is still there");
        lab.kubectl(&["delete", "chaosexp", "outage", "--timeout=10s"], "").await?.text().context("it hangs")?;
        let left = kubectl(&["get", CLUSTER_WIDE, "-o", "name"], "").await?.text()?;
        ensure!(!left.contains(&lab.namespace), "there is left: {left}");

        // As the README says it: the definition, and with it every experiment. Nobody is there who could do anything for one.
        lab.experiments().get("waits").await?;
        let deleted = kubectl(&["delete", CRD, "--timeout=30s"], "").await?.text();
        reinstall_crd().await?;
        deleted.context("the definition hangs")?;
        ensure!(lab.experiments().list(&ListParams::default()).await?.items.is_empty(), "an experiment came back");

        let namespaces: Api<Namespace> = Api::all(lab.client.clone());
        let uid = namespaces.get(&lab.namespace).await?.uid();
        namespaces.delete(&lab.namespace, &DeleteParams::background()).await?;
        until("the namespace is gone", SOON * 2, async || {
            let there = namespaces.get_opt(&lab.namespace).await?;
            Ok(there.is_none_or(|namespace| namespace.uid() != uid).then_some(()))
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_operator_comes_back_after_its_rights_were_taken_and_given_back() {
    lab("rights-back", &[], async |lab| -> Result<()> {
        let before = in_the_middle(lab).await?;
        let binding = lab.kubectl(&["get", "rolebinding", "breakwater-operator", "-o", "json"], "").await?.text()?;
        lab.kubectl(&["delete", "rolebinding", "breakwater-operator"], "").await?.text()?;
        let blind = async || {
            let operator = lab.pod("app.kubernetes.io/component=operator").await?.name_any();
            Ok(lab.log(&operator).await?.contains("is forbidden").then_some(()))
        };
        until("the operator is refused", RUN, blind).await?;
        lab.kubectl(&["create", "-f", "-"], &binding).await?.text()?;
        ends_as_it_began(lab, &before).await?;
        all_is_well(lab).await
    })
    .await;
}
