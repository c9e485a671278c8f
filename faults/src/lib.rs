//! The whole operator in virtual time, with whatever can go wrong around it.
//!
//! A [laboratory](lab::play) is a namespace of a [fake API server](breakwater_fake_apiserver) with a backend whose pods are replaced, and
//! clients with real breakers. One operator or several run in it, put together as in `main`. Between them and the server lies
//! a [`Network`](net::Network) that may let an operator die before or after a request, lose an answer, or change it.
//! Afterwards [`check`](check::check) reads the server's own log: who deleted what, and what stood in the status before.
//!
//! Time is tokio's paused clock, chance comes from a seed: a run can be played again.

pub mod backend;
pub mod check;
pub mod churn;
pub mod clients;
pub mod deployment;
pub mod history;
pub mod lab;
pub mod lies;
pub mod net;
pub mod panics;
pub mod permission;
pub mod process;
pub mod protocol;
pub mod restarts;
pub mod sabotage;
pub mod starts;
pub mod sweep;
pub mod verdicts;
pub mod workloads;
