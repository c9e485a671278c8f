//! What the operator stands on is changed or taken away in the middle of a run. Nothing hangs.

use anyhow::{Context, Result, ensure};
use breakwater_crds::Verdict;
use breakwater_e2e::{
    RUN, SOON, lab, reinstall_crd,
    tools::{helm, kubectl, root},
    wait::until,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::DeleteParams};

use super::{all_is_well, ends_as_it_began, in_the_middle};

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn the_definition_is_deleted_and_put_back() {
    lab("definition", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        let crd = "crd/chaosexperiments.chaos.breakwater.dev";
        kubectl(&["delete", crd, "--timeout=30s"], "").await?.text().context("it hangs")?;
        reinstall_crd().await?;
        all_is_well(lab).await
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
        ensure!(status.verdict == Some(Verdict::Passed), "{:?} {:?}", status.reason, status.message);
        all_is_well(lab).await
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn all_is_uninstalled_with_an_experiment_left() {
    lab("uninstall", &[], async |lab| -> Result<()> {
        in_the_middle(lab).await?;
        let args = ["uninstall", "breakwater", "--namespace", &lab.namespace, "--wait", "--timeout", "2m"];
        helm(&args).await?.text().context("it hangs")?;
        let left = lab.experiments().get("outage").await?;
        ensure!(left.status.is_some(), "its record is still there");
        lab.kubectl(&["delete", "chaosexp", "outage", "--timeout=10s"], "").await?.text().context("it hangs")?;
        let policies = kubectl(&["get", "validatingadmissionpolicies", "-o", "name"], "").await?.text()?;
        ensure!(!policies.contains(&lab.namespace), "policies are left: {policies}");

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
