//! The label by which a namespace takes part.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::Result;
use breakwater_e2e::tools::kubectl;
use futures::FutureExt;

/// Gives a namespace the label, with this value.
pub async fn label(namespace: &str, value: &str) -> Result<()> {
    let label = format!("chaos.breakwater.dev/experiments={value}");
    kubectl(&["label", "--overwrite", "namespace", namespace, &label], "").await?.text().map(drop)
}

/// Takes the label away.
pub async fn unlabel(namespace: &str) -> Result<()> {
    kubectl(&["label", "namespace", namespace, "chaos.breakwater.dev/experiments-"], "").await?.text().map(drop)
}

/// Runs a test while a namespace that is not its own has the label, which is taken away whatever comes of the test.
pub async fn while_labelled(namespace: &str, test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    label(namespace, "allowed").await?;
    let outcome = AssertUnwindSafe(test()).catch_unwind().await;
    unlabel(namespace).await?;
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}
