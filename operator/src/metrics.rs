//! What the operator counts, for Prometheus.

use breakwater_breaker::State;
use breakwater_crds::{Outcome, Verdict};
use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// All metrics, and the registry that prints them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Runs that ended, by verdict.
    pub runs: Family<Labels, Counter>,
    /// Kills, by outcome.
    pub kills: Family<Labels, Counter>,
    /// Transitions of clients' breakers that were recorded, by the state after.
    pub transitions: Family<Labels, Counter>,
    /// Questions to client replicas that failed.
    pub poll_failures: Counter,
    /// How long one look at an experiment took.
    pub reconcile_seconds: Histogram,
    /// Looks that failed and were tried again.
    pub reconcile_errors: Counter,
    /// Experiments that are watched at this moment.
    pub active: Gauge,
}

/// One label with few values, known at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels(&'static str, &'static str);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        [(self.0, self.1)].encode(encoder)
    }
}

impl From<Verdict> for Labels {
    fn from(verdict: Verdict) -> Self {
        Self(
            "verdict",
            match verdict {
                Verdict::Passed => "Passed",
                Verdict::Failed => "Failed",
                Verdict::Inconclusive => "Inconclusive",
                Verdict::Aborted => "Aborted",
            },
        )
    }
}

impl From<Outcome> for Labels {
    fn from(outcome: Outcome) -> Self {
        Self(
            "outcome",
            match outcome {
                Outcome::Planned => "Planned",
                Outcome::Deleted => "Deleted",
                Outcome::Gone => "Gone",
                Outcome::Failed => "Failed",
            },
        )
    }
}

impl From<State> for Labels {
    fn from(state: State) -> Self {
        Self("to", state.as_str())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("breakwater");
        let metrics = Self {
            runs: Family::default(),
            kills: Family::default(),
            transitions: Family::default(),
            poll_failures: Counter::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            reconcile_errors: Counter::default(),
            active: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("build", "Version of the operator", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("runs", "Experiments that ended", metrics.runs.clone());
        registry.register("kills", "Kills of pods", metrics.kills.clone());
        registry.register("transitions", "Transitions of breakers that were recorded", metrics.transitions.clone());
        registry.register("poll_failures", "Questions to client replicas that failed", metrics.poll_failures.clone());
        let (help, seconds) = ("How long one look at an experiment took", metrics.reconcile_seconds.clone());
        registry.register_with_unit("reconcile", help, Unit::Seconds, seconds);
        registry.register(
            "reconcile_errors",
            "Looks that failed and were tried again",
            metrics.reconcile_errors.clone(),
        );
        registry.register("active_experiments", "Experiments that are watched at this moment", metrics.active.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every text");
        text
    }
}
