//! Who may write an experiment, and who its status.

use anyhow::{Result, ensure};
use breakwater_e2e::{Lab, lab};

use crate::users::{as_user, author, grant, refused};

/// Suspended, so that none of it runs.
pub const HELD: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: held}
spec:
  suspend: true
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {gracePeriodSeconds: 0}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
";
/// Makes it.
pub const CREATE: [&str; 3] = ["create", "-f", "-"];
/// Refused or not, it is not made: a policy may not be in force yet.
pub const TRY: [&str; 4] = ["create", "--dry-run=server", "-f", "-"];

async fn people(lab: &Lab) -> Result<()> {
    author(&lab.namespace, "alice").await?;
    author(&lab.namespace, "bob").await?;
    grant(&lab.namespace, "bob", "bob-deletes", "delete", "pods").await
}

#[tokio::test]
async fn who_may_not_kill_may_not_have_it_done() {
    lab("deputy", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        people(lab).await?;
        let words = format!("alice may not delete pods in {namespace}, so neither may an experiment for them");
        refused("alice", namespace, &TRY, HELD, &words).await?;
        // Watching kills nothing.
        let watching = HELD
            .replace("name: held", "name: watching")
            .replace("  kill: {gracePeriodSeconds: 0}\n", "  expect: {staysClosed: true}\n");
        as_user("alice", namespace, &CREATE, &watching).await?.text()?;
        let kill = r#"{"spec":{"kill":{"gracePeriodSeconds":0}}}"#;
        let patch = ["patch", "chaosexp", "watching", "--type=merge", "-p", kill];
        refused("alice", namespace, &patch, "", &words).await?;

        as_user("bob", namespace, &CREATE, HELD).await?.text()?;
        let begin = r#"{"spec":{"suspend":false}}"#;
        refused("alice", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", begin], "", &words).await?;
        as_user("alice", namespace, &["label", "chaosexp", "held", "seen=yes"], "").await?.text()?;
        // To stop kills needs no right to kill.
        as_user("alice", namespace, &["delete", "chaosexp", "held"], "").await?.text().map(drop)
    })
    .await;
}

#[tokio::test]
async fn nobody_but_the_operator_writes_the_status() {
    lab("status", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        lab.apply(HELD).await?;
        let operator = format!("system:serviceaccount:{namespace}:breakwater-operator");
        let words = format!("only {operator} writes the status");
        let forged = r#"{"status":{"phase":"Completed","verdict":"Passed"}}"#;
        let patch = ["patch", "chaosexp", "held", "--subresource=status", "--type=merge", "-p", forged];
        grant(namespace, "bob", "bob-forges", "*", "chaosexperiments.chaos.breakwater.dev/status").await?;
        refused("bob", namespace, &patch, "", &words).await?;
        // Not even who may do anything.
        let printed = lab.kubectl(&patch, "").await?;
        ensure!(!printed.ok && printed.err.contains(&words), "{printed:?}");
        let status = lab.status("held", breakwater_e2e::SOON, |status| status.reason.is_some()).await?;
        ensure!(status.verdict.is_none(), "{status:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_asked_is_written_down_by_the_api_server() {
    lab("requester", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        people(lab).await?;
        grant(namespace, "carol", "carol-deletes", "delete", "pods").await?;
        author(namespace, "carol").await?;
        // The policies are made in one go: what one of them refuses, the others know too, within seconds.
        let forged = HELD.replace(
            "{name: held}",
            "{name: held, annotations: {chaos.breakwater.dev/requested-by: system:admin, \
             chaos.breakwater.dev/requested-by-groups: system:masters}}",
        );
        refused("alice", namespace, &TRY, &forged, "may not delete pods").await?;
        let requester = async || -> Result<String> {
            let path = "jsonpath={.metadata.annotations.chaos\\.breakwater\\.dev/requested-by}:\
                        {.metadata.annotations.chaos\\.breakwater\\.dev/requested-by-groups}";
            lab.kubectl(&["get", "chaosexp", "held", "-o", path], "").await?.text()
        };
        breakwater_e2e::wait::until("who asked is written down", breakwater_e2e::SOON, async || {
            as_user("bob", namespace, &["replace", "--force", "-f", "-"], &forged).await?.text()?;
            let said = requester().await?;
            ensure!(said == "bob:system:authenticated", "{said}");
            Ok(Some(()))
        })
        .await?;
        // Others may write what is theirs to write, but not that.
        let annotate =
            ["annotate", "--overwrite", "chaosexp", "held", "note=read", "chaos.breakwater.dev/requested-by=alice"];
        as_user("alice", namespace, &annotate, "").await?.text()?;
        ensure!(requester().await? == "bob:system:authenticated", "{}", requester().await?);
        let longer = r#"{"spec":{"timeout":"6m"}}"#;
        as_user("carol", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", longer], "").await?.text()?;
        ensure!(requester().await? == "carol:system:authenticated", "who changes the spec answers for it");
        Ok(())
    })
    .await;
}
