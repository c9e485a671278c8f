//! What `/metrics` says, as OpenMetrics text.

use std::{sync::Arc, time::Duration};

use breakwater_breaker::{Breaker, State, Transition};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

/// Upper bounds in seconds: from a fast answer on loopback to beyond the default deadline.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0];

type Histograms = Family<OutcomeLabels, Histogram, fn() -> Histogram>;

/// The client's own metrics; those of the breaker are read from it when they are asked for.
#[derive(Clone, Debug)]
pub struct Metrics {
    transitions: Family<TransitionLabels, Counter>,
    attempts: Histograms,
    ticks: Histograms,
    retries: Counter,
    retrying: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    from: &'static str,
    to: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let histograms = || Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let metrics = Self {
            transitions: Family::default(),
            attempts: histograms(),
            ticks: histograms(),
            retries: Counter::default(),
            retrying: Histogram::new(BUCKETS),
        };
        // Counters that start at zero let a rate see the first transition.
        use State::{Closed, HalfOpen, Open};
        for (from, to) in [(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed), (HalfOpen, Open)] {
            metrics.transitions.get_or_create_owned(&TransitionLabels { from: from.as_str(), to: to.as_str() });
        }
        metrics
    }
}

impl Metrics {
    /// The media type of the text.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Counts a transition; the start of the process is none.
    pub fn transition(&self, transition: &Transition) {
        if let Some(from) = transition.from {
            let labels = TransitionLabels { from: from.as_str(), to: transition.to.as_str() };
            self.transitions.get_or_create(&labels).inc();
        }
    }

    /// Counts an attempt that ended by itself.
    pub fn attempt(&self, success: bool, took: Duration) {
        let outcome = if success { "success" } else { "failure" };
        self.attempts.get_or_create(&OutcomeLabels { outcome }).observe(took.as_secs_f64());
    }

    /// Counts the call of a tick.
    pub fn tick(&self, outcome: &'static str, took: Duration) {
        self.ticks.get_or_create(&OutcomeLabels { outcome }).observe(took.as_secs_f64());
    }

    /// Counts a retry.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// Counts the time that retries added to a tick: from its first failure to its end.
    pub fn retried(&self, took: Duration) {
        self.retrying.observe(took.as_secs_f64());
    }

    /// A registry of these metrics and those of `breaker`.
    pub fn registry(&self, breaker: Arc<Breaker>) -> Registry {
        let mut registry = Registry::with_prefix("breakwater_client");
        let seconds = Unit::Seconds;
        registry.register("build", "The running build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("breaker_transitions", "Changes of the breaker's state", self.transitions.clone());
        registry.register_with_unit(
            "attempt_duration",
            "Time of attempts by outcome; those that were cut are not in it",
            seconds.clone(),
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "tick_duration",
            "Time of a tick's whole call, retries included, by outcome",
            seconds.clone(),
            self.ticks.clone(),
        );
        registry.register("retries", "Retries", self.retries.clone());
        registry.register_with_unit(
            "retry_duration",
            "Time that retries added to ticks that had one: from the first failure to the end of the tick",
            seconds,
            self.retrying.clone(),
        );
        registry.register_collector(Box::new(BreakerMetrics(breaker)));
        registry
    }
}

/// The text of a registry.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a string does not fail");
    text
}

/// State and calls as the breaker itself counts them, so that they are right in every moment.
#[derive(Debug)]
struct BreakerMetrics(Arc<Breaker>);

impl Collector for BreakerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let breaker = self.0.name();
        let machine = self.0.machine();

        let help = "1 for the state that the breaker is in, 0 for the others.";
        let mut states = encoder.encode_descriptor("breaker_state", help, None, MetricType::Gauge)?;
        for state in State::ALL {
            let value = ConstGauge::new(i64::from(state == machine.state()));
            value.encode(states.encode_family(&[("breaker", breaker), ("state", state.as_str())])?)?;
        }

        let help = "Calls by outcome, as the breaker counts them.";
        let mut calls = encoder.encode_descriptor("breaker_calls", help, None, MetricType::Counter)?;
        let counts = machine.calls();
        for (outcome, count) in [
            ("success", counts.success),
            ("failure", counts.failure),
            ("ignored", counts.ignored),
            ("not_permitted", counts.not_permitted),
        ] {
            ConstCounter::new(count).encode(calls.encode_family(&[("breaker", breaker), ("outcome", outcome)])?)?;
        }
        Ok(())
    }
}
