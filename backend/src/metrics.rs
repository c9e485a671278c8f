//! What `/metrics` says, as OpenMetrics text.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// Upper bounds in seconds: from a fast answer on loopback to the time-outs of patient clients.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The service's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    in_flight: Gauge,
    duration: Family<PathLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    path: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("breakwater_backend");
        let requests = Family::default();
        let in_flight = Gauge::default();
        let duration = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register("build", "The running build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("http_requests", "Requests answered, by route and status code", requests.clone());
        registry.register("http_requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its response's head, by route",
            Unit::Seconds,
            duration.clone(),
        );
        Self { registry, requests, in_flight, duration }
    }
}

impl Metrics {
    /// The media type of [`encode`](Self::encode)'s text.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Counts a request as in flight until the guard is dropped, be it answered or given up by its caller.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts a request that was answered.
    pub fn observe(&self, path: &str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { path: path.to_owned(), code }).inc();
        self.duration.get_or_create(&PathLabels { path: path.to_owned() }).observe(took.as_secs_f64());
    }

    /// The metrics as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
