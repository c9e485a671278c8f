//! The Helm chart and the Dockerfile, checked without a cluster: what `helm template` renders and what it refuses.
//!
//! Needs `helm`, named by the environment variable HELM or found through PATH.

mod crd;
mod dockerfile;
mod helm;
mod hostile;
mod monitoring;
mod network;
mod notes;
mod objects;
mod rbac;
mod security;
mod settings;
mod values;
