//! What the operator may evict with its own account, whoever holds its token.

use anyhow::{Result, ensure};
use breakwater_e2e::{SOON, bare, open_lab, wait::until};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::{
    kills::{account, pod},
    label::label,
    users::{as_user, refused},
};

/// The request that asks for an eviction, as a dry run or not, and the eviction with these preconditions.
fn eviction(pod: &Pod, dry: bool, preconditions: Value) -> (String, String) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let dry = if dry { "?dryRun=All" } else { "" };
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": preconditions}});
    (format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction{dry}"), body.to_string())
}

#[tokio::test]
async fn the_operator_evicts_by_uid_only_and_only_where_it_is_wanted() {
    open_lab("evicts", &[], async |lab| {
        bare("closed", async |admin, namespace| -> Result<()> {
            let operator = account(lab);
            let plain = pod(&admin, namespace, "plain", json!({})).await?;
            let by_uid = |pod: &Pod| json!({"uid": pod.uid()});
            let evict = async |dry, pod: &Pod, preconditions: Value| {
                let (path, body) = eviction(pod, dry, preconditions);
                as_user(&operator, namespace, &["create", "--raw", &path, "-f", "-"], &body).await?.text()
            };
            let no = async |pod: &Pod, preconditions: Value, words: &str| {
                let (path, body) = eviction(pod, true, preconditions);
                refused(&operator, namespace, &["create", "--raw", &path, "-f", "-"], &body, words).await
            };
            no(&plain, by_uid(&plain), "takes no part in experiments").await?;
            label(namespace, "allowed").await?;
            no(&plain, Value::Null, "only by its uid").await?;
            no(&plain, json!({"resourceVersion": plain.resource_version()}), "only by its uid").await?;
            // kube 5.0 writes it so, and the API server passes it over.
            let (path, body) = eviction(&plain, true, by_uid(&plain));
            let passed_over = body.replace("deleteOptions", "delete_options");
            refused(&operator, namespace, &["create", "--raw", &path, "-f", "-"], &passed_over, "only by its uid")
                .await?;

            // A policy on evictions is not told whose pod it is: docs/security.md says so under "What is left".
            let critical = pod(&admin, namespace, "critical", json!({})).await?;
            evict(true, &critical, by_uid(&critical)).await?;
            evict(false, &plain, by_uid(&plain)).await?;
            let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
            until("it is gone", SOON, async || Ok(pods.get_opt("plain").await?.is_none().then_some(()))).await?;
            ensure!(pods.get_opt("critical").await?.is_some(), "that was a dry run");
            Ok(())
        })
        .await;
        Ok(())
    })
    .await;
}
