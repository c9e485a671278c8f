//! Calls a backend through a circuit breaker, and tells each of the breaker's transitions.
//!
//! From the outside in: a tick with a deadline and the retries in it ([`caller`]), the breaker and the time-out
//! around each attempt ([`attempt`]), and the HTTP call ([`http`]). [`service`] puts them together.

pub mod app;
pub mod attempt;
pub mod caller;
pub mod check;
pub mod clock;
pub mod http;
pub mod log;
pub mod metrics;
pub mod retry;
pub mod service;
pub mod settings;
pub mod status;
