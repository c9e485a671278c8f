//! How many cases of a property, and which.

use proptest::test_runner::{Config, RngSeed};

/// So many: the same ones each time, unless `BREAKWATER_SEED=7` asks for others. What a test prints is shown where it fails.
pub fn cases(cases: u32) -> Config {
    let seed = std::env::var("BREAKWATER_SEED").map_or(1, |seed| seed.parse().expect("BREAKWATER_SEED is a number"));
    println!("played again with BREAKWATER_SEED={seed}");
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}
