//! People with few rights, and what they are told.

use anyhow::{Result, ensure};
use breakwater_e2e::{
    SOON,
    tools::{Printed, kubectl},
    wait::until,
};

/// Lets a user do something in a namespace: `verbs` and `resources` as `kubectl create role` takes them.
pub async fn grant(namespace: &str, user: &str, role: &str, verbs: &str, resources: &str) -> Result<()> {
    bind(namespace, user, role, &[&format!("--verb={verbs}"), &format!("--resource={resources}")]).await
}

/// The same, with the one object of this name only.
pub async fn grant_named(
    namespace: &str,
    user: &str,
    role: &str,
    verbs: &str,
    resources: &str,
    name: &str,
) -> Result<()> {
    let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
    bind(namespace, user, role, &[&verbs, &resources, &format!("--resource-name={name}")]).await
}

async fn bind(namespace: &str, user: &str, role: &str, rule: &[&str]) -> Result<()> {
    kubectl(&[&["-n", namespace, "create", "role", role], rule].concat(), "").await?.text()?;
    let (role_, user_) = (format!("--role={role}"), format!("--user={user}"));
    kubectl(&["-n", namespace, "create", "rolebinding", role, &role_, &user_], "").await?.text()?;
    Ok(())
}

/// A user who may write experiments.
pub async fn author(namespace: &str, user: &str) -> Result<()> {
    grant(namespace, user, &format!("{user}-writes"), "*", "chaosexperiments.chaos.breakwater.dev").await
}

/// `kubectl --as USER -n NAMESPACE ARGS`.
pub async fn as_user(user: &str, namespace: &str, args: &[&str], input: &str) -> Result<Printed> {
    kubectl(&[&["--as", user, "-n", namespace], args].concat(), input).await
}

/// A policy is in force some seconds after it was made: waits until this is refused, with these words.
pub async fn refused(user: &str, namespace: &str, args: &[&str], input: &str, words: &str) -> Result<()> {
    until(&format!("{user} is refused {args:?}"), SOON, async || {
        let printed = as_user(user, namespace, args, input).await?;
        ensure!(!printed.ok, "it was allowed: {}", printed.out);
        ensure!(printed.err.contains(words), "refused for another reason: {}", printed.err);
        Ok(Some(()))
    })
    .await
}
