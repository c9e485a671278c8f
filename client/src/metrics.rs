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

type Counters<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The client's own metrics; those of the breakers are read from them when they are asked for.
#[derive(Clone, Debug)]
pub struct Metrics {
    transitions: Counters<TransitionLabels>,
    attempts: Histograms<OutcomeLabels>,
    ticks: Histograms<OutcomeLabels>,
    retries: Counters<BreakerLabels>,
    retries_denied: Counters<DeniedLabels>,
    retrying: Histograms<BreakerLabels>,
    fallbacks: Counters<FallbackLabels>,
}

/// The metrics of one target.
#[derive(Clone, Debug)]
pub struct TargetMetrics {
    of: Metrics,
    breaker: Arc<str>,
}

/// Why a retry that was due was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// What was left of the deadline did not cover it.
    Deadline,
    /// The budget of retries was used up.
    Budget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
    breaker: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    breaker: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    breaker: Arc<str>,
    from: &'static str,
    to: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeniedLabels {
    breaker: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    breaker: Arc<str>,
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        fn histograms<L: Clone + Eq + std::hash::Hash>() -> Histograms<L> {
            Family::new_with_constructor(|| Histogram::new(BUCKETS))
        }
        Self {
            transitions: Family::default(),
            attempts: histograms(),
            ticks: histograms(),
            retries: Family::default(),
            retries_denied: Family::default(),
            retrying: histograms(),
            fallbacks: Family::default(),
        }
    }
}

impl Metrics {
    /// The media type of the text.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The metrics of the target with that breaker, its counters at zero: so a rate sees the first transition.
    pub fn target(&self, breaker: &str) -> TargetMetrics {
        let target = TargetMetrics { of: self.clone(), breaker: breaker.into() };
        use State::{Closed, HalfOpen, Open};
        for (from, to) in [(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed), (HalfOpen, Open)] {
            target.transitions(from, to).inc_by(0);
        }
        for denied in [Denied::Deadline, Denied::Budget] {
            target.denied(denied).inc_by(0);
        }
        for kind in ["last_good", "default"] {
            target.fallbacks(kind).inc_by(0);
        }
        self.retries.get_or_create(&target.breaker_labels()).inc_by(0);
        target
    }

    /// A registry of these metrics and those of the `breakers`.
    pub fn registry(&self, breakers: Vec<Arc<Breaker>>) -> Registry {
        let mut registry = Registry::with_prefix("breakwater_client");
        let seconds = || Unit::Seconds;
        registry.register("build", "The running build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("breaker_transitions", "Changes of the breaker's state", self.transitions.clone());
        registry.register_with_unit(
            "attempt_duration",
            "Time of attempts by outcome; those that were cut are not in it",
            seconds(),
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "tick_duration",
            "Time of a tick's whole call, retries included, by outcome",
            seconds(),
            self.ticks.clone(),
        );
        registry.register("retries", "Retries", self.retries.clone());
        registry.register(
            "retries_denied",
            "Retries that were due and not made, by what did not cover them",
            self.retries_denied.clone(),
        );
        registry.register_with_unit(
            "retry_duration",
            "Time that retries added to ticks that had one: from the first failure to the end of the tick",
            seconds(),
            self.retrying.clone(),
        );
        registry.register("fallbacks", "Refused calls that got an answer in its stead", self.fallbacks.clone());
        registry.register_collector(Box::new(BreakerMetrics(breakers)));
        registry
    }
}

impl TargetMetrics {
    /// Counts a transition; the start of the process is none.
    pub fn transition(&self, transition: &Transition) {
        if let Some(from) = transition.from {
            self.transitions(from, transition.to).inc();
        }
    }

    /// Counts an attempt that ended by itself.
    pub fn attempt(&self, success: bool, took: Duration) {
        let outcome = if success { "success" } else { "failure" };
        self.of.attempts.get_or_create(&self.outcome_labels(outcome)).observe(took.as_secs_f64());
    }

    /// Counts the call of a tick.
    pub fn tick(&self, outcome: &'static str, took: Duration) {
        self.of.ticks.get_or_create(&self.outcome_labels(outcome)).observe(took.as_secs_f64());
    }

    /// Counts a retry.
    pub fn retry(&self) {
        self.of.retries.get_or_create(&self.breaker_labels()).inc();
    }

    /// Counts a retry that was due and is not made.
    pub fn retry_denied(&self, why: Denied) {
        self.denied(why).inc();
    }

    /// Counts the time that retries added to a tick: from its first failure to its end.
    pub fn retried(&self, took: Duration) {
        self.of.retrying.get_or_create(&self.breaker_labels()).observe(took.as_secs_f64());
    }

    /// Counts an answer that was given in the place of a refused call.
    pub fn fallback(&self, kind: &'static str) {
        self.fallbacks(kind).inc();
    }

    fn transitions(&self, from: State, to: State) -> Counter {
        let labels = TransitionLabels { breaker: self.breaker.clone(), from: from.as_str(), to: to.as_str() };
        self.of.transitions.get_or_create_owned(&labels)
    }

    fn denied(&self, why: Denied) -> Counter {
        let reason = match why {
            Denied::Deadline => "deadline",
            Denied::Budget => "budget",
        };
        self.of.retries_denied.get_or_create_owned(&DeniedLabels { breaker: self.breaker.clone(), reason })
    }

    fn fallbacks(&self, kind: &'static str) -> Counter {
        self.of.fallbacks.get_or_create_owned(&FallbackLabels { breaker: self.breaker.clone(), kind })
    }

    fn breaker_labels(&self) -> BreakerLabels {
        BreakerLabels { breaker: self.breaker.clone() }
    }

    fn outcome_labels(&self, outcome: &'static str) -> OutcomeLabels {
        OutcomeLabels { breaker: self.breaker.clone(), outcome }
    }
}

/// The text of a registry.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a string does not fail");
    text
}

/// State and calls as the breakers themselves count them, so that they are right in every moment.
#[derive(Debug)]
struct BreakerMetrics(Vec<Arc<Breaker>>);

impl Collector for BreakerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "1 for the state that the breaker is in, 0 for the others.";
        let mut states = encoder.encode_descriptor("breaker_state", help, None, MetricType::Gauge)?;
        for breaker in &self.0 {
            let now = breaker.state();
            for state in State::ALL {
                let value = ConstGauge::new(i64::from(state == now));
                value.encode(states.encode_family(&[("breaker", breaker.name()), ("state", state.as_str())])?)?;
            }
        }

        let help = "Calls by outcome, as the breaker counts them.";
        let mut calls = encoder.encode_descriptor("breaker_calls", help, None, MetricType::Counter)?;
        for breaker in &self.0 {
            let counts = breaker.calls();
            for (outcome, count) in [
                ("success", counts.success),
                ("failure", counts.failure),
                ("ignored", counts.ignored),
                ("not_permitted", counts.not_permitted),
            ] {
                let labels = [("breaker", breaker.name()), ("outcome", outcome)];
                ConstCounter::new(count).encode(calls.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
