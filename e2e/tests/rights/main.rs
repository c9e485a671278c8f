//! Who may do what, with real users on the real API server, each test in a namespace of its own: `cargo e2e`.
//! What is promised is in `docs/security.md`.

mod kills;
mod reach;
mod requests;
mod users;
mod withdrawn;
