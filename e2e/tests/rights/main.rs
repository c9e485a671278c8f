//! Who may do what, with real users on the real API server, each test in a namespace of its own: `cargo e2e`.
//! What is promised is in `docs/security.md`.

mod evictions;
mod kills;
mod label;
mod methods;
mod quota;
mod reach;
mod removals;
mod requests;
mod restarts;
mod users;
mod withdrawn;
