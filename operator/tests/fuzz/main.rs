//! What comes from outside, by chance: no text and no document makes the operator panic or hang, or write what no API server takes.

mod answers;
mod crons;
mod durations;
mod edges;
mod selectors;
#[path = "../decide/sim/mod.rs"]
#[allow(dead_code, reason = "the tests of decisions use the rest of it")]
mod sim;
mod statuses;

use std::sync::LazyLock;

use breakwater_crds::ChaosExperimentStatus;
use breakwater_manifests::{misfits, schema};
use jiff::SignedDuration;
use proptest::test_runner::Config;
use sim::Sim;

/// So many cases of a property; the same ones each time.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..Config::default() }
}

/// An experiment whose outage is held. What is spared of it does not serve, or no breaker would ever open.
fn outage() -> Sim {
    let mut sim = Sim::new(include_str!("../../../crds/examples/backend-outage.yaml"), 3, 2);
    sim.pods[2].exempt = true;
    sim.pods[2].ready_at += SignedDuration::from_hours(24 * 365);
    sim
}

/// The API server takes the status.
fn assert_fits(status: &ChaosExperimentStatus, what: impl std::fmt::Display) {
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schema("status"));
    let found = misfits(&SCHEMA, &serde_json::to_value(status).unwrap(), "status");
    assert!(found.is_empty(), "{what}: {found:?}");
}
