//! What the operator may kill with its own account, whoever holds its token.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use breakwater_crds::Outcome;
use breakwater_e2e::{Lab, SOON, bare, lab, open_lab, run_of, wait::until};
use k8s_openapi::{api::core::v1::Pod, serde::de::DeserializeOwned};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use crate::label::{label, while_labelled};

/// The name of the operator's account in a laboratory that is open.
pub fn account(lab: &Lab) -> String {
    format!("system:serviceaccount:{0}:{0}-operator", lab.namespace)
}

/// The API server, as whoever has the operator's token sees it.
pub async fn as_operator(account: &str) -> Result<Client> {
    let mut config = kube::Config::infer().await?;
    config.auth_info.impersonate = Some(account.to_owned());
    let groups = ["system:serviceaccounts", "system:authenticated"];
    config.auth_info.impersonate_groups = Some(groups.map(str::to_owned).to_vec());
    Ok(Client::try_from(config)?)
}

/// A pod that no node takes; those named `critical` and `mirror` are.
pub async fn pod(client: &Client, namespace: &str, name: &str, metadata: Value) -> Result<Pod> {
    let mut pod = json!({
        "metadata": {"name": name},
        "spec": {"nodeSelector": {"no": "such-node"}, "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "main", "image": "none", "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}
    });
    match name {
        "critical" => pod["spec"]["priorityClassName"] = "system-cluster-critical".into(),
        // The API server wants to know which kubelet's it is.
        "mirror" => pod["spec"]["nodeName"] = "nowhere".into(),
        _ => {}
    }
    pod["metadata"]
        .as_object_mut()
        .context("it is an object")?
        .extend(metadata.as_object().cloned().unwrap_or_default());
    Ok(Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
}

/// That the object has this uid.
pub fn by_uid(uid: Option<String>) -> DeleteParams {
    DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() }
}

/// A delete is refused, with these words; a policy may take some seconds to be in force, so it is tried as a dry run.
pub async fn refused<K>(objects: &Api<K>, name: &str, params: &DeleteParams, words: &str) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let dry = DeleteParams { dry_run: true, ..params.clone() };
    until(&format!("the delete of {name} is refused"), SOON, async || match objects.delete(name, &dry).await {
        Ok(_) => Ok(None),
        Err(error) => {
            ensure!(error.to_string().contains(words), "refused for another reason: {error}");
            Ok(Some(()))
        }
    })
    .await
}

#[tokio::test]
async fn the_operator_kills_by_uid_only_and_only_where_it_is_wanted() {
    open_lab("kills", &[], async |lab| {
        bare("closed", async |admin, namespace| -> Result<()> {
            let client = as_operator(&account(lab)).await?;
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let plain = pod(&admin, namespace, "plain", json!({})).await?;

            refused(&pods, "plain", &by_uid(plain.uid()), "takes no part in experiments").await?;
            label(namespace, "allowed").await?;
            refused(&pods, "plain", &DeleteParams::default(), "only by its uid").await?;

            let labels = json!({"labels":
                {"app.kubernetes.io/component": "operator", "app.kubernetes.io/part-of": "breakwater"}});
            let operators = pod(&admin, namespace, "operators", labels).await?;
            refused(&pods, "operators", &by_uid(operators.uid()), "an operator's own").await?;
            let mirror =
                pod(&admin, namespace, "mirror", json!({"annotations": {"kubernetes.io/config.mirror": "8c1f"}}));
            refused(&pods, "mirror", &by_uid(mirror.await?.uid()), "mirror of a static one").await?;

            let critical = pod(&admin, namespace, "critical", json!({}));
            refused(&pods, "critical", &by_uid(critical.await?.uid()), "critical to the cluster").await?;

            // What RBAC keeps from it anyhow.
            let everything = pods.delete_collection(&DeleteParams::default(), &Default::default()).await;
            ensure!(everything.is_err_and(|error| error.to_string().contains("cannot deletecollection")));
            let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client, namespace);
            ensure!(secrets.list(&Default::default()).await.is_err(), "it reads no secrets");

            pods.delete("plain", &by_uid(plain.uid())).await?;
            Ok(())
        })
        .await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_killed_in_kube_system_whatever_its_label() {
    open_lab("system", &[], async |lab| {
        bare("closed", async |admin, namespace| -> Result<()> {
            let operator = as_operator(&account(lab)).await?;
            let there: Api<Pod> = Api::namespaced(operator.clone(), "kube-system");
            let elsewhere: Api<Pod> = Api::namespaced(operator, namespace);
            let other = pod(&admin, namespace, "other", json!({})).await?;
            refused(&elsewhere, "other", &by_uid(other.uid()), "takes no part").await?;
            let plain = pod(&admin, "kube-system", namespace, json!({})).await?;
            let dry = |pod: &Pod| DeleteParams { dry_run: true, ..by_uid(pod.uid()) };
            let outcome = while_labelled("kube-system", async || -> Result<()> {
                // Labelled after kube-system: what the API server's policies know of this one, they know of that one too.
                label(namespace, "allowed").await?;
                let wanted = "a namespace with the label takes part";
                until(wanted, SOON, async || Ok(elsewhere.delete("other", &dry(&other)).await.map(Some)?)).await?;
                let said = there.delete(namespace, &dry(&plain)).await.err().map(|error| error.to_string());
                let said = said.context("a pod of kube-system could be killed")?;
                ensure!(said.contains("kube-system takes no part in experiments"), "{said}");
                Ok(())
            })
            .await;
            let admins: Api<Pod> = Api::namespaced(admin, "kube-system");
            admins.delete(namespace, &DeleteParams::default().grace_period(0)).await?;
            outcome
        })
        .await;
        Ok(())
    })
    .await;
}

/// Whoever can write a status all the same, as with the operator's token, gets nothing killed that the spec does not name.
#[tokio::test]
async fn a_forged_victim_is_not_killed() {
    lab("forged", &[], async |lab| -> Result<()> {
        let manifest = crate::requests::HELD.replace("suspend: true", "timeout: 2m");
        lab.apply(&manifest.replace("{gracePeriodSeconds: 0}", "{gracePeriodSeconds: 0, holdFor: 20s}")).await?;
        lab.status("held", breakwater_e2e::RUN, |status| status.run.as_ref().is_some_and(|run| run.killed >= 1))
            .await?;
        let forged = forge(lab).await?;
        let status = lab.complete("held").await?;
        let kill = run_of(&status)?.kills.iter().find(|kill| kill.uid == forged).cloned();
        // Dropped by the operator's own next write, or tried and found wrong.
        ensure!(kill.as_ref().is_none_or(|kill| kill.outcome == Outcome::Failed), "{kill:?}");
        ensure!(lab.uids("app=client").await? == [forged], "the client lives");
        Ok(())
    })
    .await;
}

/// Plans a kill of the client's pod into the status, in the operator's name. Gives its uid.
async fn forge(lab: &Lab) -> Result<String> {
    let client = lab.pod("app=client").await?;
    let uid = client.uid().context("it has a uid")?;
    let account = format!("system:serviceaccount:{}:breakwater-operator", lab.namespace);
    let experiments: Api<breakwater_crds::ChaosExperiment> =
        Api::namespaced(as_operator(&account).await?, &lab.namespace);
    until("the status is forged", SOON, async || {
        let mut experiment = experiments.get("held").await?;
        let run = experiment.status.as_mut().and_then(|status| status.run.as_mut()).context("it runs")?;
        let mut kill = run.kills.last().context("something was killed")?.clone();
        (kill.pod, kill.uid, kill.outcome) = (client.name_any(), uid.clone(), Outcome::Planned);
        run.kills.push(kill);
        experiments.replace_status("held", &PostParams::default(), &experiment).await?;
        Ok(Some(()))
    })
    .await?;
    Ok(uid)
}
