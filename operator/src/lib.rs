//! The Kubernetes operator that runs `ChaosExperiment`s.
//!
//! One look at an experiment goes: get it afresh → look at the [`world`] → [`decide`] → write the status → do the effects.

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!(
    "the feature sabotage makes an operator that does wrong on purpose: build a release without breakwater-faults, as \
     `cargo build --release` does"
);

pub mod act;
pub mod admin;
pub mod apply;
pub mod clock;
pub mod config;
pub mod controller;
pub mod decide;
pub mod endpoint;
pub mod error;
pub mod fetch;
pub mod halt;
pub mod metrics;
pub mod namespaces;
pub mod observe;
pub mod operator;
pub mod places;
pub mod poll;
pub mod requester;
pub mod requests;
pub mod sabotage;
pub mod scope;
pub mod serve;
pub mod session;
pub mod together;
pub mod turns;
pub mod underway;
pub mod watches;
pub mod workload;
pub mod world;
