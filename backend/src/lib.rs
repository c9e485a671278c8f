//! The service that experiments kill: one JSON answer, probes and metrics.
//!
//! [`app`](app::app) is the router, [`serve`](serve::serve) the server around it that finishes calls in flight
//! before it ends.

pub mod app;
pub mod metrics;
pub mod serve;
