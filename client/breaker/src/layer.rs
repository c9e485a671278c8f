//! A [`tower`](https://docs.rs/tower) layer: any client or server that is a tower service can wear a breaker.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    breaker::Breaker,
    call::Error,
    classify::{Classify, ErrorsFail},
    permit::{NotPermitted, OwnedPermit},
};

/// Puts a breaker around services. All services that it makes, and their clones, share the breaker.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use breakwater_breaker::{Breaker, BreakerLayer, Error, Outcome, Settings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// /// What an HTTP client brings: a status, or an error of the connection.
/// fn classify(answer: &Result<u16, std::io::Error>, _: Duration) -> Outcome {
///     match answer {
///         Ok(500..) => Outcome::failure("server error"),
///         Ok(_) => Outcome::Success,
///         Err(error) => Outcome::failure(error.to_string()),
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let breaker = Arc::new(Breaker::new("backend", Settings::default()));
/// let service = ServiceBuilder::new()
///     .layer(BreakerLayer::new(Arc::clone(&breaker)).classify_by(classify))
///     .service(service_fn(async |status: u16| Ok::<_, std::io::Error>(status)));
/// for _ in 0..3 {
///     assert_eq!(service.clone().oneshot(503).await.unwrap(), 503);
/// }
/// match service.oneshot(200).await {
///     Err(Error::NotPermitted(refused)) => println!("wait for {:?}", refused.trial_in()),
///     other => panic!("the breaker is open: {other:?}"),
/// }
/// # })
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = ErrorsFail> {
    breaker: Arc<Breaker>,
    classifier: C,
}

impl BreakerLayer {
    /// By `breaker`; an `Err` of the service is a failure.
    pub fn new(breaker: Arc<Breaker>) -> Self {
        Self { breaker, classifier: ErrorsFail }
    }
}

impl<C> BreakerLayer<C> {
    /// Has `classifier` tell from the service's result what is a failure.
    pub fn classify_by<D>(self, classifier: D) -> BreakerLayer<D> {
        BreakerLayer { breaker: self.breaker, classifier }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, breaker: Arc::clone(&self.breaker), classifier: self.classifier.clone() }
    }
}

/// A service behind a breaker, as [`BreakerLayer`] makes it.
///
/// It is ready whenever the inner service is: whether a call is permitted is decided when it is made. A call that is
/// dropped before its end, or that panics, counts as neither success nor failure. An inner service that cannot even be
/// ready has made no call: its error is passed on, and not counted.
///
/// What an inner service reserves when it is ready, as a limit of concurrent calls does, it keeps while calls are
/// refused, for the next one that is not. Such a limit belongs around the breaker, not into it.
///
/// ```
/// use std::sync::Arc;
/// use breakwater_breaker::{Breaker, BreakerLayer, Settings, State};
/// use tower::{Layer, service_fn};
///
/// let breaker = Arc::new(Breaker::new("backend", Settings::default()));
/// let service = BreakerLayer::new(breaker).layer(service_fn(async |number: u8| Ok::<_, String>(number)));
/// assert_eq!(service.breaker().state(), State::Closed);
/// ```
#[derive(Clone, Debug)]
pub struct BreakerService<S, C = ErrorsFail> {
    inner: S,
    breaker: Arc<Breaker>,
    classifier: C,
}

impl<S, C> BreakerService<S, C> {
    /// The breaker.
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }
}

impl<R, S, C> Service<R> for BreakerService<S, C>
where
    S: Service<R>,
    C: Classify<Result<S::Response, S::Error>> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = BreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Failed)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let state = match self.breaker.try_acquire_owned() {
            Err(refused) => State::Refused { refused },
            Ok(permit) => State::Called {
                started: self.breaker.started::<_, C>(),
                call: self.inner.call(request),
                permit: Some(permit),
                classifier: self.classifier.clone(),
            },
        };
        BreakerFuture { state }
    }
}

pin_project! {
    /// The call of a [`BreakerService`].
    #[must_use = "futures do nothing unless they are polled"]
    #[derive(Debug)]
    pub struct BreakerFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Debug)]
    enum State<F, C> {
        Refused { refused: NotPermitted },
        Called { #[pin] call: F, permit: Option<OwnedPermit>, started: u64, classifier: C },
    }
}

impl<T, E, F, C> Future for BreakerFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Refused { refused } => Poll::Ready(Err(Error::NotPermitted(*refused))),
            Projected::Called { call, permit, started, classifier } => {
                let result = ready!(call.poll(cx));
                let permit = permit.take().expect("polled after it was ready");
                let outcome = permit.breaker().judge(classifier, &result, *started);
                permit.finish(&outcome);
                Poll::Ready(result.map_err(Error::Failed))
            }
        }
    }
}
