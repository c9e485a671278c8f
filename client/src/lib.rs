//! Calls services through circuit breakers, one each, and tells each of the breakers' transitions.
//!
//! From the outside in: a tick with a deadline and the retries in it ([`caller`]), the breaker and the time-out
//! around each attempt ([`attempt`]), and the HTTP call ([`http`]). [`target`] puts them together for one target,
//! [`service`] for all of them.

pub mod app;
pub mod attempt;
pub mod caller;
pub mod check;
pub mod clock;
pub mod fallback;
pub mod http;
pub mod log;
pub mod metrics;
pub mod retry;
pub mod retry_after;
pub mod service;
pub mod settings;
pub mod status;
pub mod target;
pub mod trace;
