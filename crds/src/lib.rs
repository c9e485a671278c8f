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
mod selector;
mod spec;
mod status;
mod yaml;

pub use breakwater_breaker::State;
pub use duration::{Duration, ParseDurationError};
pub use spec::*;
pub use status::*;
pub use yaml::{crd, crd_yaml};
