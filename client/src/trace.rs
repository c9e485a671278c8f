//! Traces of calls, for whoever asks for them: off as long as there is no endpoint to send them to.
//!
//! A call has a span, each of its attempts one in it that tells the breaker's decision, and the HTTP request one in this,
//! which is handed on to the backend as `traceparent`. Names and attributes are
//! [OpenTelemetry's for HTTP clients](https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client) where it has them.

use std::time::Duration;

use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::HeaderInjector;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use reqwest::{Method, Url, header::HeaderMap};
use tracing::{Span, Subscriber, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use uuid::Uuid;

/// The target of spans: no line of the log tells of them.
pub const SPAN: &str = "span";

/// How long the last spans may take to be sent.
const LINGER: Duration = Duration::from_secs(2);

/// Sends spans as OTLP over HTTP, by a thread of its own: a collector that is away or slow holds up nothing.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send to `endpoint`, which is used as it is; `epoch` is told as the service's instance.
    ///
    /// # Errors
    /// If there is no HTTP client to send by.
    pub fn start(endpoint: &Url, epoch: Uuid) -> Result<Self, String> {
        // Made on a thread of its own, as it may not be made among asynchronous tasks.
        let client = std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(LINGER).build());
        let client = client.join().map_err(|_| "its HTTP client panicked".to_owned())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint.as_str())
            .with_http_client(client.map_err(|error| error.to_string())?)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(opentelemetry::KeyValue::new("service.instance.id", epoch.to_string()));
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Ok(Self(provider))
    }

    /// The layer that makes the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_filter(filter_fn(|event| event.is_span() && event.target() == SPAN))
    }

    /// Sends what is left, for two seconds at most. It blocks.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LINGER) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// The span of a call, its attempts included.
pub fn call(breaker: &str) -> Span {
    info_span!(target: SPAN, "call", otel.name = format_args!("call {breaker}"), breaker.name = breaker,
        call.outcome = Empty, otel.status_code = Empty)
}

/// How the call of the current span ended.
pub fn called(span: &Span, outcome: &'static str, answered: bool) {
    span.record("call.outcome", outcome);
    if !answered {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of an attempt, the `number`th of its call, beginning at 0.
pub fn attempt(number: u32) -> Span {
    info_span!(target: SPAN, "attempt", attempt.number = number, breaker.decision = Empty, breaker.state = Empty,
        error.type = Empty, otel.status_code = Empty)
}

/// What the breaker decided on the attempt of this span: `permitted`, `trial` or `refused`.
pub fn decided(span: &Span, decision: &'static str) {
    span.record("breaker.decision", decision);
}

/// How the attempt of this span ended, and the state that this left the breaker in.
pub fn attempted(span: &Span, failure: Option<&dyn std::fmt::Display>, state: &'static str) {
    span.record("breaker.state", state);
    if let Some(failure) = failure {
        span.record("error.type", tracing::field::display(failure));
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of an HTTP request.
pub fn request(method: &Method, url: &Url) -> Span {
    info_span!(target: SPAN, "request", otel.name = method.as_str(), otel.kind = "client",
        http.request.method = method.as_str(), url.full = url.as_str(), server.address = url.host_str(),
        server.port = url.port_or_known_default(), http.response.status_code = Empty, error.type = Empty,
        otel.status_code = Empty)
}

/// How the HTTP request of this span ended.
pub fn requested(span: &Span, status: Option<u16>, failure: Option<&dyn std::fmt::Display>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if let Some(failure) = failure {
        span.record("error.type", tracing::field::display(failure));
        span.record("otel.status_code", "ERROR");
    }
}

/// Hands the span on to who is called; without traces there is nothing to hand on.
pub fn hand_on(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
}
