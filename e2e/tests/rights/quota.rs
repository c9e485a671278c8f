//! How many experiments a tenant can have: the quota of `docs/security.md`, as it stands there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use breakwater_e2e::{RUN, SOON, bare, tools::kubectl, wait::until};
use serde_json::{Value, json};

use crate::requests::HELD;

const DOCUMENT: &str = include_str!("../../../docs/security.md");
/// How long a quota is waited for, before it is made again.
const FILLED: Duration = Duration::from_secs(15);

/// The document's quota, for this namespace and for one experiment; and what it counts.
fn quota(namespace: &str) -> Result<(Value, String)> {
    let blocks = DOCUMENT.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<_> = blocks.filter(|block| block.contains("kind: ResourceQuota")).collect();
    ensure!(found.len() == 1, "the document has {} quotas", found.len());
    let mut quota: Value = serde_saphyr::from_str(found[0])?;
    quota["metadata"]["namespace"] = json!(namespace);
    let hard = quota["spec"]["hard"].as_object_mut().context("it says how many")?;
    ensure!(hard.len() == 1, "it counts more than experiments: {hard:?}");
    let (counted, count) = hard.iter_mut().next().context("there is one")?;
    *count = json!("1");
    let counted = counted.clone();
    Ok((quota, counted))
}

async fn used(namespace: &str, name: &str, counted: &str) -> Result<Value> {
    let text = kubectl(&["-n", namespace, "get", "resourcequota", name, "-o", "json"], "").await?.text()?;
    let status = serde_json::from_str::<Value>(&text)?["status"].clone();
    ensure!(status["hard"][counted] == "1", "its limit is not known yet: {status}");
    Ok(status["used"][counted].clone())
}

#[tokio::test]
async fn a_quota_bounds_a_tenants_experiments_as_the_document_says() {
    bare("quota", async |_, namespace| -> Result<()> {
        let (quota, counted) = quota(namespace)?;
        let name = quota["metadata"]["name"].as_str().context("it has a name")?.to_string();
        let manifest = quota.to_string();
        let is_used = async |count: &str, limit: Duration| {
            until(&format!("{count} is counted"), limit, async || {
                let used = used(namespace, &name, &counted).await?;
                ensure!(used == count, "it is {used}");
                Ok(Some(()))
            })
            .await
        };
        // Which kinds there are the controller asks twice a minute; a quota that is older than the kind is not looked at again at once.
        until("the quota is in force", RUN, async || {
            kubectl(&["-n", namespace, "replace", "--force", "-f", "-"], &manifest).await?.text()?;
            is_used("0", FILLED).await.map(Some)
        })
        .await?;
        kubectl(&["-n", namespace, "create", "-f", "-"], HELD).await?.text()?;
        is_used("1", SOON).await?;
        let second = HELD.replace("name: held", "name: second");
        let said = kubectl(&["-n", namespace, "create", "-f", "-"], &second).await?;
        let words = [format!("exceeded quota: {name}"), format!("limited: {counted}=1")];
        ensure!(!said.ok && words.iter().all(|words| said.err.contains(words)), "{said:?}");
        let there = kubectl(&["-n", namespace, "get", "chaosexp", "-o", "name"], "").await?.text()?;
        ensure!(there.lines().count() == 1 && there.contains("/held"), "{there}");
        Ok(())
    })
    .await;
}
