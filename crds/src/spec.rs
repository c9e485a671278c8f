//! What a user asks for: the spec of a `ChaosExperiment`.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::LabelSelector, apimachinery::pkg::util::intstr::IntOrString};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChaosExperimentStatus, Duration, State, duration, selector};

/// An experiment runs once: it waits for a good baseline, kills the target's pods, watches the clients' circuit breakers,
/// and writes what happened and a verdict into its status. Delete it and apply it again to run it again.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "chaos.breakwater.dev",
    version = "v1alpha1",
    kind = "ChaosExperiment",
    plural = "chaosexperiments",
    shortname = "chaosexp",
    category = "chaos",
    namespaced,
    status = "ChaosExperimentStatus",
    derive = "PartialEq",
    doc = "Kills pods on purpose and proves that the circuit breakers of their clients open and close again.",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase", description = "Where the run is."),
    printcolumn(name = "VERDICT", type_ = "string", json_path = ".status.verdict", description = "How it ended."),
    printcolumn(name = "BREAKER", type_ = "string", json_path = ".status.summary.breaker", description = "State of the clients' breakers; of several, the one furthest from Closed."),
    printcolumn(name = "KILLS", type_ = "integer", json_path = ".status.summary.kills", description = "Pods killed."),
    printcolumn(name = "OPENED-AFTER", type_ = "string", json_path = ".status.summary.timeToOpen", description = "From the first kill to the last client's breaker opening."),
    printcolumn(name = "CLOSED-AFTER", type_ = "string", json_path = ".status.summary.timeToClose", description = "From the end of the outage that was asked for to the last client's breaker closing."),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.reason", priority = 1, description = "Why it stands where it stands."),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.run) || (self.spec.target == oldSelf.spec.target && has(self.spec.kill) == has(oldSelf.spec.kill) && (!has(self.spec.kill) || self.spec.kill == oldSelf.spec.kill) && self.spec.observe == oldSelf.spec.observe && self.spec.expect == oldSelf.spec.expect && self.spec.timeout == oldSelf.spec.timeout)")
        .message("spec cannot change once the experiment has started, but for suspend; delete the experiment and apply it again to run it with another spec"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.kill) || self.expect.staysClosed").message("an experiment without kill can only expect expect.staysClosed: true; say how to kill, such as kill: {holdFor: 15s}"),
    validation = Rule::new("!has(self.kill) || self.expect.staysClosed || (duration(self.timeout) > duration(self.expect.opensWithin) && duration(self.timeout) > duration(self.expect.closesWithin) + (has(self.kill.holdFor) ? duration(self.kill.holdFor) : duration('0s')))")
        .message("timeout must be longer than expect.opensWithin, and than kill.holdFor and expect.closesWithin together, or the run ends before its verdict"),
    validation = Rule::new("!self.expect.staysClosed || duration(self.timeout) > duration(self.observe.duration)").message("timeout must be longer than observe.duration")
)]
pub struct ChaosExperimentSpec {
    /// Which pods are killed.
    pub target: Target,
    /// How they are killed. Absent: nothing is killed and the breakers are watched, for an experiment that expects
    /// expect.staysClosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// Whose circuit breakers are watched.
    pub observe: Observe,
    /// What must happen for the verdict Passed.
    #[serde(default)]
    pub expect: Expect,
    /// How long the run may take from its baseline on; then it ends as Aborted. At most 24h. Default 5m. The baseline itself is
    /// waited for a minute, or this long if that is less.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("must be between 1s and 24h"))]
    pub timeout: Duration,
    /// Set to true to hold the experiment back. Set while it runs, it stops the kills at once and ends the run with the
    /// verdict Aborted.
    #[serde(default)]
    pub suspend: bool,
}

/// Which pods of the experiment's own namespace are killed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Labels of the pods, as in a Deployment's selector. It must not be empty.
    #[schemars(schema_with = "selector::bounded")]
    #[x_kube(validation = Rule::new(selector::RULE).message(selector::MESSAGE), validation = Rule::new(selector::VALUES_RULE).message(selector::VALUES_MESSAGE))]
    pub selector: LabelSelector,
    /// How many of them: all: {}, one: {}, or fixed: N.
    #[x_kube(validation = Rule::new("[has(self.all), has(self.one), has(self.fixed)].filter(x, x).size() == 1")
        .message("say exactly one of all: {}, one: {} or fixed: N"))]
    pub pods: Pods,
}

/// How many of the pods that the selector matches are killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Pods {
    /// All of them: {}.
    All(NoSettings),
    /// One of them, chosen by a hash of the experiment's and the pods' uids: {}.
    One(NoSettings),
    /// So many of them, chosen likewise. At least so many must be ready for the run to begin.
    Fixed(#[schemars(range(min = 1, max = 1000))] u32),
}

/// Nothing to set: {}.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoSettings {}

/// How the pods are killed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// Delete: the pod is deleted, as kubectl delete pod does. Default Delete.
    #[serde(default)]
    pub method: Method,
    /// Seconds that a killed pod has to end by itself; 0 ends it at once. Absent: the pod's own terminationGracePeriodSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub grace_period_seconds: Option<u32>,
    /// How long the outage is held, from the first kill: pods that replace the killed ones are killed too, within a quarter
    /// of a second of being seen. Absent: the pods are killed once, which makes an outage of a few seconds only. At most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h; leave it out for a single kill"))]
    pub hold_for: Option<Duration>,
}

/// The way a pod is killed.
#[allow(
    missing_docs,
    reason = "documented at Kill::method; a comment on a variant makes a oneOf, which Kubernetes refuses"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    #[default]
    Delete,
}

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
    #[x_kube(validation = Rule::new(selector::RULE).message(selector::MESSAGE), validation = Rule::new(selector::VALUES_RULE).message(selector::VALUES_MESSAGE))]
    pub selector: LabelSelector,
    /// The port of its status endpoint: a number, or the name of a container port.
    #[schemars(schema_with = "port_schema")]
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 1 && self <= 65535 : self.size() >= 1 && self.size() <= 63")
        .message("must be a port between 1 and 65535, or the name of a container port"))]
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

/// What must happen for the verdict Passed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.sequence.size() >= 3 && self.sequence[0] == 'Closed' && self.sequence[self.sequence.size() - 1] == 'Closed' && 'Open' in self.sequence")
    .message("expect.sequence must begin and end with Closed and have Open in between; for a breaker that must not open say staysClosed: true"))]
pub struct Expect {
    /// The breakers must stay Closed all the time that observe.duration says. The other expectations do not count then.
    #[serde(default)]
    pub stays_closed: bool,
    /// Each breaker opens within this time from the first kill; between 1s and 1h. Default 30s.
    #[serde(default = "default_opens_within")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub opens_within: Duration,
    /// Each breaker is closed again within this time from the end of the hold, or from the first kill where nothing is held;
    /// between 1s and 1h. Default 60s.
    #[serde(default = "default_closes_within")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub closes_within: Duration,
    /// The states that each breaker goes through, in order; HalfOpen, Open, HalfOpen in between counts as one HalfOpen.
    /// Default [Closed, Open, HalfOpen, Closed].
    #[serde(default = "default_sequence")]
    #[schemars(length(min = 1, max = 16))]
    pub sequence: Vec<State>,
    /// How often a breaker may fall back from HalfOpen to Open. Default 5.
    #[serde(default = "default_max_flaps")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_flaps: u32,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            stays_closed: false,
            opens_within: default_opens_within(),
            closes_within: default_closes_within(),
            sequence: default_sequence(),
            max_flaps: default_max_flaps(),
        }
    }
}

fn default_opens_within() -> Duration {
    Duration::from_secs(30)
}

fn default_closes_within() -> Duration {
    Duration::from_secs(60)
}

fn default_sequence() -> Vec<State> {
    vec![State::Closed, State::Open, State::HalfOpen, State::Closed]
}

fn default_max_flaps() -> u32 {
    5
}

fn default_timeout() -> Duration {
    Duration::from_secs(300)
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
