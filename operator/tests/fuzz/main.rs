//! What comes from outside, by chance: no text and no document makes the operator panic or hang, or write what no API server takes.
//!
//! `BREAKWATER_SEED=7` chooses other cases; a test that fails tells its seed. `cargo check-all --long` goes on with others, drawn by chance.

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
use breakwater_manifests::{misfits, schema, seed};
use fastrand::Rng;
use jiff::SignedDuration;
use proptest::test_runner::{Config, RngSeed};
use sim::Sim;

/// So many cases of a property, the same ones for the same seed.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() }
}

/// Chance, other for each test.
fn chance(test: &str) -> Rng {
    Rng::with_seed(test.bytes().fold(seed(), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
}

/// An experiment whose outage is held, beside pods that it does not mean. What is spared of it does not serve, or no breaker would
/// ever open.
fn outage() -> Sim {
    let mut sim = Sim::new(include_str!("../../../crds/examples/backend-outage.yaml"), 3, 2);
    sim.pods[2].exempt = true;
    sim.pods[2].ready_at += SignedDuration::from_hours(24 * 365);
    sim.add_strangers();
    sim
}

/// The API server takes the status.
fn assert_fits(status: &ChaosExperimentStatus, what: impl std::fmt::Display) {
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schema("status"));
    let found = misfits(&SCHEMA, &serde_json::to_value(status).unwrap(), "status");
    assert!(found.is_empty(), "{what}: {found:?}");
}
