//! The service that experiments kill: one JSON answer, probes and metrics.
//!
//! [`app`](app::app) is the router, [`faults`] what lets it fail on purpose, [`serve`](serve::serve) the server around it that finishes calls in flight
//! before it ends.

pub mod app;
pub mod faults;
pub mod metrics;
pub mod serve;
