//! In which namespaces an operator does anything.

use anyhow::{Result, ensure};
use breakwater_crds::{ChaosExperimentStatus, Phase, Reason, Verdict};
use breakwater_e2e::{Lab, RUN, SOON, bare, lab, open_lab, tools::kubectl, wait::until};
use serde_json::Value;

use crate::{
    label::{label, unlabel, while_labelled},
    users::refused,
};

/// Ends within seconds where there is no pod.
pub const WATCH: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: watch}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}], duration: 5s}
  expect: {staysClosed: true}
  timeout: 10s
";

/// An Event on the experiment says so.
async fn told(namespace: &str, name: &str, words: &str) -> Result<()> {
    let notes = format!("jsonpath={{.items[?(@.regarding.name==\"{name}\")].note}}");
    until(words, SOON, async || {
        let events = ["-n", namespace, "get", "events.v1.events.k8s.io", "-o", &notes];
        let said = kubectl(&events, "").await?.text()?;
        ensure!(said.contains(words), "it says {said:?}");
        Ok(Some(()))
    })
    .await
}

async fn status(namespace: &str, until: &str) -> Result<Value> {
    let (until, limit) = (format!("--for=jsonpath={until}"), format!("--timeout={}s", SOON.as_secs()));
    kubectl(&["-n", namespace, "wait", "chaosexp/watch", &until, &limit], "").await?.text()?;
    let text = kubectl(&["-n", namespace, "get", "chaosexp", "watch", "-o", "json"], "").await?.text()?;
    Ok(serde_json::from_str::<Value>(&text)?["status"].clone())
}

#[tokio::test]
async fn a_namespace_takes_part_as_long_as_it_says_so() {
    open_lab("optin", &["demo.enabled=true"], async |lab| {
        bare("harbour", async |_, namespace| -> Result<()> {
            kubectl(&["-n", namespace, "apply", "-f", "-"], WATCH).await?.text()?;
            let advice = format!("kubectl label namespace {namespace} chaos.breakwater.dev/experiments=allowed");
            told(namespace, "watch", &advice).await?;
            until("kubectl apply warns as well", SOON, async || {
                let another = WATCH.replace("name: watch", "name: another");
                let said = kubectl(&["-n", namespace, "create", "--dry-run=server", "-f", "-"], &another).await?.err;
                Ok((said.contains("Warning:") && said.contains(&advice)).then_some(()))
            })
            .await?;
            let there = kubectl(&["-n", namespace, "get", "chaosexp", "watch", "-o", "json"], "").await?.text()?;
            ensure!(!there.contains("\"phase\""), "it is another operator's, for all this one knows: {there}");
            label(namespace, "allowed").await?;
            let looking = status(namespace, "{.status.reason}=NoTargets").await?;
            ensure!(looking["message"].as_str().is_some_and(|message| message.contains("no pod")), "{looking}");

            // The operator's own namespace is no exception.
            lab.apply(WATCH).await?;
            told(&lab.namespace, "watch", "takes no part").await?;
            Ok(())
        })
        .await;
        run_ends_with_the_label(lab).await
    })
    .await;
}

/// In the same laboratory, as of two operators that serve every labelled namespace neither lets the other write.
async fn run_ends_with_the_label(lab: &Lab) -> Result<()> {
    label(&lab.namespace, "allowed").await?;
    lab.apply_example("backend-outage").await?;
    let killing = |status: &ChaosExperimentStatus| status.run.as_ref().is_some_and(|run| run.killed > 0);
    lab.status("backend-outage", RUN, killing).await?;
    unlabel(&lab.namespace).await?;
    let status = lab.complete("backend-outage").await?;
    ensure!((status.verdict, status.reason) == (Some(Verdict::Aborted), Some(Reason::Halted)), "{status:?}");
    ensure!(status.message.as_ref().is_some_and(|message| message.contains("takes no part")), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_can_write_an_experiment_in_kube_system_whatever_its_label() {
    open_lab("system", &[], async |_| {
        while_labelled("kube-system", async || {
            let killing = WATCH.replace("  expect:", "  kill: {}\n  expect:");
            let masters = ["--as-group=system:masters", "create", "--dry-run=server", "-f", "-"];
            refused("system:admin", "kube-system", &masters, &killing, "no experiment can run in kube-system").await
        })
        .await
    })
    .await;
}

/// Without policies, which would refuse the experiment.
#[tokio::test]
async fn the_operator_itself_runs_nothing_in_kube_system_whatever_its_label() {
    open_lab("system", &["policies.enabled=false"], async |lab| {
        while_labelled("kube-system", async || {
            let name = lab.namespace.as_str();
            let manifest = WATCH.replace("name: watch", &format!("name: {name}"));
            kubectl(&["-n", "kube-system", "create", "-f", "-"], &manifest).await?.text()?;
            let outcome = told("kube-system", name, "no experiment runs in kube-system").await;
            let left = ["-n", "kube-system", "get", "chaosexp", name, "-o", "jsonpath={.status}"];
            let status = kubectl(&left, "").await?.text();
            kubectl(&["-n", "kube-system", "delete", "chaosexp", name], "").await?.text()?;
            outcome?;
            let status = status?;
            ensure!(status.is_empty(), "it is another operator's, for all this one knows: {status}");
            Ok(())
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn an_operator_of_two_namespaces_runs_both_and_has_no_right_elsewhere() {
    bare("quay", async |_, quay| {
        let second = format!("operator.watchNamespaces[1]={quay}");
        lab("two-places", &[&second], async |lab| -> Result<()> {
            lab.apply_example("normal-operation").await?;
            kubectl(&["-n", quay, "apply", "-f", "-"], WATCH).await?.text()?;
            let there = status(quay, "{.status.phase}=Completed").await?;
            ensure!(there["reason"] == format!("{:?}", Reason::NoTargets), "{there}");
            lab.status("normal-operation", RUN, |status| status.phase == Some(Phase::Completed)).await?;
            let account = format!("system:serviceaccount:{}:breakwater-operator", lab.namespace);
            for (verb, resource, namespace, allowed) in [
                ("delete", "pods", quay, true),
                ("delete", "pods", &lab.namespace, true),
                ("delete", "pods", "default", false),
                ("get", "chaosexperiments", "default", false),
                ("list", "pods", "", false),
            ] {
                let scope = if namespace.is_empty() { vec!["-A"] } else { vec!["-n", namespace] };
                let args = [&["auth", "can-i", verb, resource, "--as", &account], &scope[..]].concat();
                let said = kubectl(&args, "").await?.out;
                ensure!(
                    said.trim() == if allowed { "yes" } else { "no" },
                    "{verb} {resource} in {namespace:?}: {said}"
                );
            }
            Ok(())
        })
        .await;
        Ok(())
    })
    .await;
}
