//! What the operator may change of workloads with its own account, whoever holds its token.

use anyhow::{Result, ensure};
use breakwater_e2e::{SOON, bare, open_lab, tools::kubectl, wait::until};
use serde_json::json;

use crate::{
    kills::account,
    label::label,
    users::{as_user, refused},
};

const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Those that are never restarted, and what is said of them then.
const NEVER: [(&str, &str); 3] = [
    ("cluster-critical", "critical to the cluster"),
    ("node-critical", "critical to the cluster"),
    ("operators", "an operator's own"),
];

/// A workload that has no pod; those of NEVER are what their names say.
fn workload(kind: &str, name: &str) -> String {
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "labels": {"app": "web"}, "annotations": {"kept": "yes"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "minReadySeconds": 1, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": {"kept": "yes"}},
            "spec": {"nodeSelector": {"no": "such-node"}, "containers": [{"name": "main", "image": "none"}]}}},
    });
    if kind != "DaemonSet" {
        workload["spec"]["replicas"] = 0.into();
    }
    let template = &mut workload["spec"]["template"];
    match name {
        "operators" => {
            template["metadata"]["labels"]["app.kubernetes.io/component"] = "operator".into();
            template["metadata"]["labels"]["app.kubernetes.io/part-of"] = "breakwater".into();
        }
        "web" => {}
        critical => template["spec"]["priorityClassName"] = format!("system-{critical}").into(),
    }
    workload.to_string()
}

/// Merge patches that do more than a restart does.
const MORE: [&str; 13] = [
    r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"evil"}]}}}}"#,
    r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#,
    r#"{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}"#,
    r#"{"spec":{"template":{"spec":{"nodeSelector":null}}}}"#,
    r#"{"spec":{"template":{"metadata":{"labels":{"also":"this"}}}}}"#,
    r#"{"spec":{"template":{"metadata":{"annotations":{"also":"this"}}}}}"#,
    r#"{"spec":{"template":{"metadata":{"annotations":{"kept":null}}}}}"#,
    r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now","kept":"no"}}}}}"#,
    r#"{"spec":{"template":{"metadata":{"finalizers":["a.b/stays"]}}}}"#,
    r#"{"spec":{"minReadySeconds":30}}"#,
    r#"{"metadata":{"labels":{"also":"this"}}}"#,
    r#"{"metadata":{"annotations":{"kept":null}}}"#,
    r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"none","uid":"none"}]}}"#,
];
const RESTART: &str =
    r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}"#;

#[tokio::test]
async fn the_operator_restarts_ordinary_workloads_and_changes_nothing_else_of_them() {
    open_lab("restarts", &["rbac.rolloutRestart=true"], async |lab| {
        bare("closed", async |_, namespace| -> Result<()> {
            let operator = account(lab);
            for kind in KINDS {
                for name in ["web"].into_iter().chain(NEVER.map(|(name, _)| name)) {
                    kubectl(&["-n", namespace, "create", "-f", "-"], &workload(kind, name)).await?.text()?;
                }
            }
            let patch = |kind: &'static str, patch: &'static str| {
                ["patch", kind, "web", "--dry-run=server", "--type=merge", "-p", patch]
            };
            refused(&operator, namespace, &patch("Deployment", RESTART), "", "takes no part in experiments").await?;
            label(namespace, "allowed").await?;
            for kind in KINDS {
                until(&format!("the operator may restart a {kind}"), SOON, async || {
                    as_user(&operator, namespace, &patch(kind, RESTART), "").await?.text().map(Some)
                })
                .await?;
                let words = "changes an annotation of the pods' template and nothing else";
                for more in MORE {
                    let said = as_user(&operator, namespace, &patch(kind, more), "").await?;
                    ensure!(!said.ok && said.err.contains(words), "{kind} {more}: {said:?}");
                }
                if kind != "DaemonSet" {
                    let said = as_user(&operator, namespace, &patch(kind, r#"{"spec":{"replicas":5}}"#), "").await?;
                    ensure!(!said.ok && said.err.contains(words), "{kind}: {said:?}");
                }
                for (name, words) in NEVER {
                    let restart = ["patch", kind, name, "--dry-run=server", "--type=merge", "-p", RESTART];
                    let said = as_user(&operator, namespace, &restart, "").await?;
                    ensure!(!said.ok && said.err.contains(words), "{kind} {name}: {said:?}");
                }
                let restart = ["patch", kind, "web", "--type=merge", "-p", RESTART];
                as_user(&operator, namespace, &restart, "").await?.text()?;
            }
            Ok(())
        })
        .await;
        Ok(())
    })
    .await;
}
