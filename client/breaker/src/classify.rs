//! What the result of a call means to the breaker.

use std::{borrow::Cow, fmt::Display, time::Duration};

/// What the result of a call means to the breaker.
///
/// ```
/// use breakwater_breaker::{Breaker, Outcome, Settings};
///
/// let breaker = Breaker::new("backend", Settings::default());
/// for outcome in [Outcome::Success, Outcome::failure("reset"), Outcome::Ignored] {
///     breaker.try_acquire().unwrap().finish(&outcome);
/// }
/// let calls = breaker.calls();
/// assert_eq!((calls.success, calls.failure, calls.ignored), (1, 1, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side lives.
    Success,
    /// It does not, or not well; in a word or two, how.
    Failure(Cow<'static, str>),
    /// The result says nothing about the other side: the call counts as neither, and a trial is given back.
    Ignored,
}

impl Outcome {
    /// A failure, said in a word or two.
    pub fn failure(error: impl Into<Cow<'static, str>>) -> Self {
        Self::Failure(error.into())
    }
}

/// Tells from the result of a call, and from how long it took, what it means to the breaker.
///
/// Functions and closures do it:
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Classify, Outcome};
///
/// /// Server errors fail, a client's own mistake says nothing, and what takes a second is as good as failed.
/// fn classify(status: &Result<u16, std::io::Error>, took: Duration) -> Outcome {
///     match status {
///         Err(error) => Outcome::failure(error.to_string()),
///         Ok(500..) => Outcome::failure("server error"),
///         Ok(400..) => Outcome::Ignored,
///         Ok(_) if took > Duration::from_secs(1) => Outcome::failure("too late"),
///         Ok(_) => Outcome::Success,
///     }
/// }
/// assert_eq!(classify.classify(&Ok(404), Duration::ZERO), Outcome::Ignored);
/// ```
pub trait Classify<R> {
    /// Whether it looks at the time that a call took. If not, the clock is not read for it, and it is told zero.
    const TIMED: bool = true;

    /// What `result`, which came after `took`, means.
    fn classify(&self, result: &R, took: Duration) -> Outcome;
}

impl<R, F: Fn(&R, Duration) -> Outcome> Classify<R> for F {
    fn classify(&self, result: &R, took: Duration) -> Outcome {
        self(result, took)
    }
}

/// An `Err` is a failure, an `Ok` a success.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{Classify, ErrorsFail, Outcome};
///
/// assert_eq!(ErrorsFail.classify(&Ok::<_, String>(()), Duration::ZERO), Outcome::Success);
/// assert_eq!(ErrorsFail.classify(&Err::<(), _>("reset"), Duration::ZERO), Outcome::failure("reset"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorsFail;

impl<T, E: Display> Classify<Result<T, E>> for ErrorsFail {
    const TIMED: bool = false;

    fn classify(&self, result: &Result<T, E>, _: Duration) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => Outcome::failure(error.to_string()),
        }
    }
}
