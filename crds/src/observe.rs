//! Whose circuit breakers an experiment watches.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::LabelSelector, apimachinery::pkg::util::intstr::IntOrString};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, duration, selector};

/// Whose circuit breakers are watched, and how often.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observe {
    /// The clients of the target. Each ready replica is watched by itself, at its pod's address.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new("self.all(c, self.exists_one(d, d.name == c.name))").message("each client needs a name of its own"))]
    pub clients: Vec<Client>,
    /// How often each replica is asked; between 100ms and 10s. No transition is lost between two polls, as clients number
    /// and keep them. Default 500ms.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('10s')").message("must be between 100ms and 10s"))]
    pub interval: Duration,
    /// With expect.staysClosed: how long the breakers are watched, from the first kill or, where nothing is killed, from
    /// the good baseline. Between 1s and 1h. Default 30s.
    #[serde(default = "default_watch")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub duration: Duration,
}

/// A client with a circuit breaker, known by its status endpoint.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// A name for it in the status.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Labels of its pods, in the experiment's own namespace. It must not be empty.
    #[schemars(schema_with = "selector::bounded")]
    #[x_kube(validation = Rule::new(selector::RULE).message(selector::MESSAGE), validation = Rule::new(selector::VALUES_RULE).message(selector::VALUES_MESSAGE),
        validation = Rule::new(selector::LABELS_RULE).message(selector::LABELS_MESSAGE),
        validation = Rule::new(selector::EXPRESSIONS_RULE).message(selector::EXPRESSIONS_MESSAGE))]
    pub selector: LabelSelector,
    /// The port of its status endpoint: a number, or the name of a container port.
    #[schemars(schema_with = "port_schema")]
    #[x_kube(validation = Rule::new("self == string(self) ? self.size() >= 1 && self.size() <= 15 : self >= 1 && self <= 65535")
        .message("must be a port between 1 and 65535, or the name of a container port, which has at most 15 letters"))]
    pub port: IntOrString,
    /// The path of its status endpoint, without a query. Default /status.
    #[serde(default = "default_path")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^/[A-Za-z0-9/._~-]*$')").message("must begin with / and have only letters, digits and / . _ ~ -"))]
    pub path: String,
    /// The name of the breaker, as the status endpoint says it.
    #[schemars(length(min = 1, max = 128))]
    pub breaker: String,
}

fn default_interval() -> Duration {
    Duration::from_millis(500)
}

fn default_watch() -> Duration {
    Duration::from_secs(30)
}

fn default_path() -> String {
    "/status".into()
}

fn port_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
}
