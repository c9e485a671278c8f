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
        to_go_on_is_to_kill(namespace, &words).await?;
        // To stop kills needs no right to kill.
        as_user("alice", namespace, &["delete", "chaosexp", "held"], "").await?.text().map(drop)
    })
    .await;
}

/// Who may write experiments may stop any of them; only who may kill as well may let it go on.
async fn to_go_on_is_to_kill(namespace: &str, words: &str) -> Result<()> {
    let annotate = async |user: &str, name: &str, annotation: &str| {
        let annotation = format!("chaos.breakwater.dev/abort{annotation}");
        as_user(user, namespace, &["annotate", "--overwrite", "chaosexp", name, &annotation], "").await
    };
    annotate("alice", "held", "=now").await?.text()?;
    annotate("alice", "held", "=").await?.text()?;
    let said = annotate("alice", "held", "-").await?;
    ensure!(!said.ok && said.err.contains(words), "{said:?}");
    let all = r#"{"metadata":{"annotations":null}}"#;
    let said = as_user("alice", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", all], "").await?;
    ensure!(!said.ok && said.err.contains(words), "{said:?}");
    annotate("bob", "held", "-").await?.text()?;
    // What kills nothing anyhow goes on without.
    annotate("alice", "watching", "=now").await?.text()?;
    annotate("alice", "watching", "-").await?.text().map(drop)
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
        let without = [
            "annotate",
            "chaosexp",
            "held",
            "chaos.breakwater.dev/requested-by-",
            "chaos.breakwater.dev/requested-by-groups-",
        ];
        let bare = ["patch", "chaosexp", "held", "--type=merge", "-p", r#"{"metadata":{"annotations":null}}"#];
        for change in [&annotate[..], &without[..], &bare[..]] {
            as_user("alice", namespace, change, "").await?.text()?;
            let said = requester().await?;
            ensure!(said == "bob:system:authenticated", "{change:?}: {said}");
        }
        let longer = r#"{"spec":{"timeout":"6m"}}"#;
        as_user("carol", namespace, &["patch", "chaosexp", "held", "--type=merge", "-p", longer], "").await?.text()?;
        ensure!(requester().await? == "carol:system:authenticated", "who changes the spec answers for it");
        Ok(())
    })
    .await;
}

/// Another plug-in of the API server's, which writes somebody else down wherever a label asks for it, and once more when the chart's
/// policy has put that right. Its name has the laboratory's, by which it is taken away.
const FORGER: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: forger.NAMESPACE}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
      - {apiGroups: [chaos.breakwater.dev], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: [chaosexperiments]}
  matchConditions:
    - {name: asked-for, expression: \"'forge' in object.metadata.?labels.orValue({})\"}
  mutations:
    - patchType: JSONPatch
      jsonPatch:
        expression: >-
          [JSONPatch{op: 'add', value: 'system:admin',
          path: '/metadata/annotations/chaos.breakwater.dev~1' + object.metadata.labels.forge}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: forger.NAMESPACE}
spec:
  policyName: forger.NAMESPACE
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
";

#[tokio::test]
async fn who_asked_is_not_what_another_plug_in_of_the_api_server_says() {
    lab("forger", &["demo.enabled=false"], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        people(lab).await?;
        // As above: then the policy that has the last word is in force as well.
        refused("alice", namespace, &TRY, HELD, "may not delete pods").await?;
        lab.apply(HELD).await?;
        lab.apply(&FORGER.replace("NAMESPACE", namespace)).await?;
        let forged = |annotation: &str| {
            let metadata = format!("{{name: forged, labels: {{forge: {annotation}}}, annotations: {{kept: 'yes'}}}}");
            HELD.replace("{name: held}", &metadata)
        };
        let words = "say who asked for the spec; they are the API server's own";
        for annotation in ["requested-by", "requested-by-groups"] {
            refused("bob", namespace, &TRY, &forged(annotation), words).await?;
            let label = format!("forge={annotation}");
            let labelled = ["label", "--dry-run=server", "chaosexp", "held", &label];
            refused("alice", namespace, &labelled, "", words).await?;
        }
        as_user("alice", namespace, &["label", "chaosexp", "held", "seen=yes"], "").await?.text().map(drop)
    })
    .await;
}
