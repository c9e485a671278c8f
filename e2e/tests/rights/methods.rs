//! Each way to kill needs of an experiment's author the right to do the same by hand, and no other right will do.

use anyhow::{Result, ensure};
use breakwater_e2e::{Lab, SOON, lab, wait::until};

use crate::{
    requests::{CREATE, HELD, TRY},
    users::{as_user, author, grant, grant_named, refused},
};

fn evicting() -> String {
    HELD.replace("{gracePeriodSeconds: 0}", "{method: Evict}")
}

fn restarting(kind: &str, name: &str) -> String {
    let target = format!("pods: {{all: {{}}}}, workload: {{kind: {kind}, name: {name}}}");
    HELD.replace("{gracePeriodSeconds: 0}", "{method: RolloutRestart}").replace("pods: {all: {}}", &target)
}

/// Waits until the right that was given is known, and the experiment is taken.
async fn taken(user: &str, namespace: &str, manifest: &str) -> Result<()> {
    until(&format!("{user} may write it"), SOON, async || {
        as_user(user, namespace, &TRY, manifest).await?.text().map(Some)
    })
    .await
    .map(drop)
}

/// Who has an experiment that kills otherwise cannot change it into one that kills this way.
async fn change_is_refused(lab: &Lab, user: &str, spec: &str, words: &str) -> Result<()> {
    let patch = ["patch", "chaosexp", "held", "--type=merge", "-p", spec];
    refused(user, &lab.namespace, &patch, "", words).await?;
    let method = lab.kubectl(&["get", "chaosexp", "held", "-o", "jsonpath={.spec.kill.method}"], "").await?.text()?;
    ensure!(method == "Delete", "it is {method} now");
    Ok(())
}

#[tokio::test]
async fn who_may_delete_pods_may_not_have_them_evicted() {
    lab("evict", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        author(namespace, "dave").await?;
        grant(namespace, "dave", "dave-deletes", "*", "pods").await?;
        let words = format!("dave may not create pods/eviction in {namespace}, so neither may an experiment for them");
        refused("dave", namespace, &TRY, &evicting(), &words).await?;
        taken("dave", namespace, HELD).await?;
        as_user("dave", namespace, &CREATE, HELD).await?.text()?;
        let evict = r#"{"spec":{"kill":{"method":"Evict"}}}"#;
        change_is_refused(lab, "dave", evict, &words).await?;

        grant(namespace, "dave", "dave-evicts", "create", "pods/eviction").await?;
        taken("dave", namespace, &evicting().replace("name: held", "name: evicting")).await?;
        as_user("dave", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", evict], "").await?.text()?;

        // Nor the other way round.
        author(namespace, "erin").await?;
        grant(namespace, "erin", "erin-evicts", "create", "pods/eviction").await?;
        let other = |manifest: &str| manifest.replace("name: held", "name: other");
        taken("erin", namespace, &other(&evicting())).await?;
        refused("erin", namespace, &TRY, &other(HELD), "erin may not delete pods").await
    })
    .await;
}

#[tokio::test]
async fn who_may_kill_pods_may_not_have_workloads_restarted() {
    lab("restart", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        author(namespace, "dave").await?;
        grant(namespace, "dave", "dave-deletes", "*", "pods").await?;
        grant(namespace, "dave", "dave-evicts", "create", "pods/eviction").await?;
        taken("dave", namespace, HELD).await?;
        as_user("dave", namespace, &CREATE, HELD).await?.text()?;
        let restart = r#"{"spec":{"target":{"workload":{"kind":"Deployment","name":"web"}},
            "kill":{"method":"RolloutRestart","gracePeriodSeconds":null}}}"#;
        let other = |kind: &str, name: &str| restarting(kind, name).replace("name: held", "name: other");
        let kinds = [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")];
        for (kind, resource) in kinds {
            let words = format!("dave may not patch {resource} in {namespace}, so neither may an experiment for them");
            refused("dave", namespace, &TRY, &other(kind, "web"), &words).await?;
        }
        change_is_refused(lab, "dave", restart, "dave may not patch deployments").await?;

        for (kind, resource) in kinds {
            let resources = format!("{resource}.apps");
            // To read it, or to change another one, is not enough.
            grant(namespace, "dave", &format!("dave-reads-{resource}"), "get,update", &resources).await?;
            grant_named(namespace, "dave", &format!("dave-restarts-{resource}"), "patch", &resources, "web").await?;
            taken("dave", namespace, &other(kind, "web")).await?;
            let words = format!("dave may not patch {resource}");
            refused("dave", namespace, &TRY, &other(kind, "db"), &words).await?;
        }
        as_user("dave", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", restart], "")
            .await?
            .text()
            .map(drop)
    })
    .await;
}
