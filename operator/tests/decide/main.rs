//! The heart in virtual time: whole runs, and the rules that hold in each of them.
//!
//! `BREAKWATER_SEED=7` chooses other cases where chance does; a test that fails tells its seed.

mod absence;
mod calendar;
mod choosing;
mod invariants;
mod judging;
mod manifests;
mod runs;
#[allow(dead_code, reason = "the example timeline uses the rest of it")]
mod sim;
mod timing;

use breakwater_manifests::seed;
use proptest::test_runner::{Config, RngSeed};

/// So many cases of a property, the same ones for the same seed.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() }
}

/// A manifest like the report's outage; `change` is put in for a line of it.
pub fn manifest(pods: &str, kill: &str, expect: &str) -> String {
    format!(
        "apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {{name: outage, namespace: shop}}
spec:
  target: {{selector: {{matchLabels: {{app: backend}}}}, pods: {pods}}}
{kill}
  observe: {{clients: [{{name: client, selector: {{matchLabels: {{app: client}}}}, port: 8080, breaker: backend}}]}}
  expect: {expect}
"
    )
}
