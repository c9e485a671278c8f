//! Counts the requests to the API server, sends so many at a time and no more, and waits for none of them for ever.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{Method, Request, Response, StatusCode};
use futures::{FutureExt, future::BoxFuture};
use kube::{Client, Config, client::ClientBuilder};
use tokio::sync::Semaphore;
use tower::{Layer, Service, limit::GlobalConcurrencyLimitLayer, timeout::TimeoutLayer};

use crate::metrics::Metrics;

/// The head of an answer has so long to arrive, retries of kube's client included; a watch then goes on as long as it likes. Calls
/// that something waits for have a shorter limit of their own, [`crate::error::API_LIMIT`]; this one is for the watches' own lists,
/// which would hang for ever behind a connection into nowhere.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A connection on which nothing comes for so long is given up, as where the rest of an answer stays out. A watch is begun anew sooner,
/// and is told the revision every minute.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(300);

/// So many requests of the operator may wait for the head of their answer at a time, however many experiments run: the API server
/// lets 600 be under way by default, and those of service accounts share less than half of them.
/// <https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>
pub const AT_ONCE: usize = 32;

/// The places of those requests, for all clients of an operator.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE))
}

/// A client of the API server whose requests wait for one of the `places`, are counted, and are answered within [`ANSWER_LIMIT`]
/// or given up.
///
/// # Errors
/// Where the configuration has, say, a certificate that is none.
pub fn client(mut config: Config, metrics: Arc<Metrics>, places: Arc<Semaphore>) -> kube::Result<Client> {
    config.read_timeout = Some(SILENCE_LIMIT);
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&TimeoutLayer::new(ANSWER_LIMIT))
        .with_layer(&Count(metrics))
        .with_layer(&GlobalConcurrencyLimitLayer::with_semaphore(places))
        .build())
}

/// The layer that counts.
#[derive(Clone)]
struct Count(Arc<Metrics>);

impl<S> Layer<S> for Count {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose requests are counted.
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (metrics, method) = (self.metrics.clone(), verb(request.method()));
        let answer = self.inner.call(request);
        let counted = async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or("none", |answer| class(answer.status()));
            metrics.api_requests.get_or_create(&[("method", method), ("code", code)]).inc();
            answer
        };
        counted.boxed()
    }
}

/// A label has only values that are known here.
fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// A conflict and a request to slow down are told apart from other refusals, as they are everyday things.
fn class(code: StatusCode) -> &'static str {
    match code.as_u16() {
        409 => "409",
        429 => "429",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_request_is_counted_by_method_and_answer() {
        let metrics = Arc::new(Metrics::default());
        for (method, code) in [("GET", 200), ("GET", 200), ("PUT", 409), ("DELETE", 404), ("POST", 503)] {
            let answer =
                tower::service_fn(|_: Request<()>| std::future::ready(Response::builder().status(code).body(())));
            let request = Request::builder().method(method).body(()).unwrap();
            Count(metrics.clone()).layer(answer).call(request).await.unwrap();
        }
        let text = metrics.text();
        for line in [
            "breakwater_api_requests_total{method=\"GET\",code=\"2xx\"} 2",
            "breakwater_api_requests_total{method=\"PUT\",code=\"409\"} 1",
            "breakwater_api_requests_total{method=\"DELETE\",code=\"4xx\"} 1",
            "breakwater_api_requests_total{method=\"POST\",code=\"5xx\"} 1",
        ] {
            assert!(text.contains(line), "no {line}:\n{text}");
        }
    }
}
