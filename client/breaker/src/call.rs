//! Whole calls through a breaker: the permit, the result, and what it means, in one go.

use std::{fmt, time::Duration};

use crate::{
    breaker::Breaker,
    classify::{Classify, ErrorsFail, Outcome},
    permit::NotPermitted,
};

/// Why a call through a breaker brought no result.
///
/// ```
/// use breakwater_breaker::{Breaker, Error, Settings, State};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// let said = |result: Result<u8, Error<&str>>| match result {
///     Ok(answer) => answer.to_string(),
///     Err(Error::Failed(error)) => format!("failed: {error}"),
///     Err(Error::NotPermitted(refused)) => format!("not tried: {refused}"),
/// };
/// assert_eq!(said(breaker.call(|| Err("reset"))), "failed: reset");
/// breaker.force(State::ForcedOpen, "maintenance");
/// assert_eq!(said(breaker.call(|| Ok(1))), "not tried: the breaker is forced open");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The breaker refused it, and it was not made.
    NotPermitted(NotPermitted),
    /// It was made, and failed.
    Failed(E),
}

impl<E> Error<E> {
    /// What the breaker said, if it refused the call; it says how long to wait, too.
    pub fn not_permitted(&self) -> Option<NotPermitted> {
        match self {
            Self::NotPermitted(refused) => Some(*refused),
            Self::Failed(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted(refused) => refused.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotPermitted(_) => None,
            // Its words are this error's own.
            Self::Failed(error) => error.source(),
        }
    }
}

impl Breaker {
    /// Calls `call` if the breaker permits it; an `Err` is a failure.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] if it does not, else what `call` brings.
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Error, Settings};
    ///
    /// let breaker = Breaker::new("backend", Settings::default());
    /// for _ in 0..3 {
    ///     assert_eq!(breaker.call(|| Err::<(), _>("timeout")), Err(Error::Failed("timeout")));
    /// }
    /// let refused = breaker.call(|| Err::<(), _>("timeout")).unwrap_err().not_permitted().unwrap();
    /// assert!(refused.trial_in().unwrap().as_secs_f64() > 9.0);
    /// ```
    pub fn call<T, E: fmt::Display>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, Error<E>> {
        self.call_by(&ErrorsFail, call)
    }

    /// As [`call`](Self::call), with a classifier that says what a result means.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use breakwater_breaker::{Breaker, Outcome, Settings};
    ///
    /// let breaker = Breaker::new("backend", Settings::default());
    /// let classify = |status: &Result<u16, std::io::Error>, _: Duration| match status {
    ///     Ok(404) => Outcome::Ignored,
    ///     Ok(..500) => Outcome::Success,
    ///     Ok(_) | Err(_) => Outcome::failure("server"),
    /// };
    /// breaker.call_by(&classify, || Ok(404)).unwrap();
    /// breaker.call_by(&classify, || Ok(503)).unwrap();
    /// assert_eq!((breaker.calls().ignored, breaker.calls().failure), (1, 1));
    /// ```
    pub fn call_by<T, E, C: Classify<Result<T, E>>>(
        &self,
        classifier: &C,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Error<E>> {
        let permit = self.try_acquire().map_err(Error::NotPermitted)?;
        let started = self.started::<_, C>();
        let result = call();
        permit.finish(&self.judge(classifier, &result, started));
        result.map_err(Error::Failed)
    }

    /// Awaits `call` if the breaker permits it; an `Err` is a failure. Dropped before its end, it counts as neither.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Settings};
    ///
    /// # futures::executor::block_on(async {
    /// let breaker = Breaker::new("backend", Settings::default());
    /// let answer = breaker.run(async { Ok::<_, std::io::Error>(42) }).await;
    /// assert_eq!(answer.unwrap(), 42);
    /// # })
    /// ```
    pub async fn run<T, E: fmt::Display>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, Error<E>> {
        self.run_by(&ErrorsFail, call).await
    }

    /// As [`run`](Self::run), with a classifier that says what a result means.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use breakwater_breaker::{Breaker, Outcome, Settings};
    ///
    /// # futures::executor::block_on(async {
    /// let breaker = Breaker::new("backend", Settings::default());
    /// let too_late = |_: &Result<u8, std::io::Error>, took: Duration| {
    ///     if took > Duration::ZERO { Outcome::failure("too late") } else { Outcome::Success }
    /// };
    /// breaker.run_by(&too_late, async { Ok(1) }).await.unwrap();
    /// assert_eq!(breaker.calls().failure, 1);
    /// # })
    /// ```
    pub async fn run_by<T, E, C: Classify<Result<T, E>>>(
        &self,
        classifier: &C,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error<E>> {
        let permit = self.try_acquire().map_err(Error::NotPermitted)?;
        let started = self.started::<_, C>();
        let result = call.await;
        permit.finish(&self.judge(classifier, &result, started));
        result.map_err(Error::Failed)
    }

    /// When a call starts, if its classifier wants to know.
    pub(crate) fn started<R, C: Classify<R>>(&self) -> u64 {
        if C::TIMED { self.mono_nanos() } else { 0 }
    }

    /// What a call that ends now means.
    pub(crate) fn judge<R, C: Classify<R>>(&self, classifier: &C, result: &R, started: u64) -> Outcome {
        let now = if C::TIMED { self.mono_nanos() } else { 0 };
        classifier.classify(result, Duration::from_nanos(now.saturating_sub(started)))
    }
}
