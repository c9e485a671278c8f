//! What the operator counts, for Prometheus.

use crate::decide::{Attempt, Victim};
use breakwater_breaker::State;
use breakwater_crds::{ChaosExperimentStatus, Outcome, Summary, Verdict};
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
    /// Starts of schedules that were skipped.
    pub missed_starts: Counter,
    /// From the first kill to the last breaker's opening, of runs that ended.
    pub time_to_open_seconds: Histogram,
    /// From the end of the hold to the last breaker's closing, of runs that ended.
    pub time_to_close_seconds: Histogram,
    /// From the moment that a kill was written down to the moment that it was sent.
    pub kill_lateness_seconds: Histogram,
    /// Requests to the API server, by method and answer.
    pub api_requests: Family<[(&'static str, &'static str); 2], Counter>,
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
                Verdict::DryRun => "DryRun",
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
                Outcome::Evicted => "Evicted",
                Outcome::Restarted => "Restarted",
                Outcome::Blocked => "Blocked",
                Outcome::DryRun => "DryRun",
                Outcome::Gone => "Gone",
                Outcome::Failed => "Failed",
                Outcome::Unknown => "Unknown",
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
            missed_starts: Counter::default(),
            time_to_open_seconds: Histogram::new(exponential_buckets(0.25, 2.0, 13)),
            time_to_close_seconds: Histogram::new(exponential_buckets(0.25, 2.0, 13)),
            kill_lateness_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            api_requests: Family::default(),
            poll_failures: Counter::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            reconcile_errors: Counter::default(),
            active: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("build", "Version of the operator", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("runs", "Experiments that ended", metrics.runs.clone());
        registry.register("kills", "Kills of pods", metrics.kills.clone());
        registry.register("transitions", "Transitions of breakers that were recorded", metrics.transitions.clone());
        registry.register("missed_starts", "Starts of schedules that were skipped", metrics.missed_starts.clone());
        let mut seconds = |name: &str, help: &str, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        seconds("time_to_open", "From the first kill to the last breaker's opening", &metrics.time_to_open_seconds);
        seconds(
            "time_to_close",
            "From the end of the hold to the last breaker's closing",
            &metrics.time_to_close_seconds,
        );
        seconds("kill_lateness", "From a kill's being written down to its being sent", &metrics.kill_lateness_seconds);
        seconds("reconcile", "How long one look at an experiment took", &metrics.reconcile_seconds);
        registry.register("api_requests", "Requests to the API server", metrics.api_requests.clone());
        registry.register("poll_failures", "Questions to client replicas that failed", metrics.poll_failures.clone());
        registry.register(
            "reconcile_errors",
            "Looks that failed and were tried again",
            metrics.reconcile_errors.clone(),
        );
        registry.register("active_experiments", "Experiments that are watched at this moment", metrics.active.clone());
        metrics.begin_with_zero();
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// A series that begins with its first event shows no increase: whoever waits for one would miss it after each start.
    fn begin_with_zero(&self) {
        use Outcome::{Blocked, Deleted, Evicted, Failed, Gone, Restarted, Unknown};
        for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Inconclusive, Verdict::Aborted, Verdict::DryRun] {
            drop(self.runs.get_or_create(&verdict.into()));
        }
        for outcome in [Deleted, Evicted, Restarted, Blocked, Outcome::DryRun, Gone, Failed, Unknown] {
            drop(self.kills.get_or_create(&outcome.into()));
        }
        for state in [State::Closed, State::Open, State::HalfOpen, State::ForcedOpen, State::Disabled] {
            drop(self.transitions.get_or_create(&state.into()));
        }
    }

    /// What came of a kill.
    pub fn killed(&self, victim: &Victim, attempt: &Attempt) {
        self.kills.get_or_create(&attempt.outcome.into()).inc();
        if let Some(sent) = attempt.sent_at {
            self.kill_lateness_seconds.observe(sent.duration_since(victim.planned_at).as_secs_f64().max(0.0));
        }
    }

    /// The times of a run that has ended.
    fn summary(&self, summary: Option<&Summary>) {
        let Some(summary) = summary else { return };
        for (time, histogram) in
            [(summary.time_to_open, &self.time_to_open_seconds), (summary.time_to_close, &self.time_to_close_seconds)]
        {
            if let Some(time) = time {
                histogram.observe(time.as_std().as_secs_f64());
            }
        }
    }

    /// What is new in a status that was written.
    pub fn written(&self, before: Option<&ChaosExperimentStatus>, after: &ChaosExperimentStatus) {
        let was = before.and_then(|status| status.run.as_ref()).map_or(&[][..], |run| &run.clients);
        for replica in after.run.iter().flat_map(|run| &run.clients) {
            let recorded = was
                .iter()
                .find(|old| old.uid == replica.uid && old.client == replica.client && old.epoch == replica.epoch);
            let seq = recorded.map_or(0, |old| old.seq);
            for transition in replica.transitions.iter().filter(|transition| transition.seq > seq) {
                self.transitions.get_or_create(&transition.to.into()).inc();
            }
        }
        let ended = |status: &ChaosExperimentStatus| status.run.as_ref().is_some_and(|run| run.completed_at.is_some());
        if let Some(verdict) = after
            .verdict
            .filter(|_| ended(after) && !before.is_some_and(|before| ended(before) && before.runs == after.runs))
        {
            self.runs.get_or_create(&verdict.into()).inc();
            self.summary(after.summary.as_ref());
        }
        let missed = |status: &ChaosExperimentStatus| status.missed_runs;
        self.missed_starts.inc_by(missed(after).saturating_sub(before.map_or(0, missed)));
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every text");
        text
    }
}
