//! What the end-to-end tests stand on: a laboratory of its own for each test.
//!
//! [`lab()`] makes a namespace, installs the chart into it (an operator that may touch this namespace alone, a backend and a
//! client), runs the test, and takes it all away again. When the test fails, it first prints what is there: pods, events,
//! experiments and logs. `KUBECONFIG` says which cluster; `cargo e2e` brings one. With `BREAKWATER_E2E_KEEP=1` nothing is taken away.

mod dump;
mod lab;
pub mod tools;
pub mod wait;

pub use lab::{CLUSTER_WIDE, Lab, bare, install_crd, lab, open_lab, reinstall_crd, run_of};

/// A test's time-out for what should take seconds.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(60);
/// A test's time-out for a whole run of an experiment.
pub const RUN: std::time::Duration = std::time::Duration::from_secs(240);
/// An experiment that holds its outage for longer than any test waits, to be stopped in the middle.
pub const LONG: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: long}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {gracePeriodSeconds: 0, holdFor: 3m}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
";
