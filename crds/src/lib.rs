//! The `ChaosExperiment` API: its types, its schema and its rules.
//!
//! The CustomResourceDefinition is generated from these types by `cargo crdgen`, and the rules that the API server
//! applies (CEL) stand beside the fields that they rule. The full name of the resource is
//! `chaosexperiments.chaos.breakwater.dev`.
//!
//! ```
//! use breakwater_crds::ChaosExperiment;
//! use kube::Resource;
//!
//! assert_eq!(ChaosExperiment::plural(&()), "chaosexperiments");
//! assert_eq!(ChaosExperiment::api_version(&()), "chaos.breakwater.dev/v1alpha1");
//! ```

mod duration;
mod expect;
mod history;
mod observe;
mod replica;
mod run;
mod schedule;
mod selector;
mod spec;
mod status;
mod yaml;

pub use breakwater_breaker::State;
pub use duration::{Duration, ParseDurationError};
pub use expect::*;
pub use history::*;
pub use observe::*;
pub use replica::*;
pub use run::*;
pub use schedule::*;
pub use spec::*;
pub use status::*;
pub use yaml::{crd, crd_yaml};

/// Annotation that ends a run at once, whatever its value: `kubectl annotate chaosexp NAME chaos.breakwater.dev/abort=now`.
pub const ABORT: &str = "chaos.breakwater.dev/abort";
