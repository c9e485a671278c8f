//! A Kubernetes API server in process, for tests in virtual time: the part of it that the operator uses.
//!
//! It sits under the real [`kube::Client`] as a tower service and is one process without a clock of its own. It keeps every
//! version of every object and every request, so that a test can look up who did what, and what was known before.
//!
//! It has resource versions and conflicts, status subresources, deletions with preconditions, grace and finalizers, evictions
//! with budgets, lists in pages, watches with bookmarks and 410, selectors, merge and JSON patches, and metadata-only answers.
//! It has no admission, no validation against schemas, no defaults and no server-side apply.
//! What it has is held against the real API server by random sequences of requests: `e2e/tests/cluster/same.rs`.

mod delete;
mod failure;
mod kind;
mod list;
mod read;
mod route;
mod select;
mod server;
mod store;
mod watch;
mod write;

/// The types of requests and answers.
pub use axum::http;
pub use failure::Failure;
pub use kind::{BUILT_IN, Kind, Origin};
pub use route::{Route, Verb};
pub use select::Selector;
pub use server::{FakeApiServer, Logged, State, document};
pub use store::{Change, Key, Store};
