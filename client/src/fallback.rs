//! What a call gets that the breaker refuses: the last good answer, or a stated one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::http::Answer;

/// Has an answer for calls that are refused, if it was told to.
#[derive(Debug, Default)]
pub struct Fallback {
    /// The last good answer is given; when it came, since the start of the process.
    last_good: Option<Mutex<Option<(String, Duration)>>>,
    default: Option<String>,
}

/// An answer that no backend gave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The last good one.
    LastGood {
        /// Its body, as [`Answer::body`].
        body: String,
        /// How long ago it came.
        age: Duration,
    },
    /// The stated one.
    Default {
        /// The answer.
        body: String,
    },
}

impl Given {
    /// Its name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::LastGood { .. } => "last_good",
            Self::Default { .. } => "default",
        }
    }
}

impl Fallback {
    /// The last good answer, if `last_good`; else, or as long as there was none, the `default`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use breakwater_client::fallback::{Fallback, Given};
    ///
    /// let fallback = Fallback::new(true, Some("[]".to_owned()));
    /// assert_eq!(fallback.give(Duration::ZERO), Some(Given::Default { body: "[]".to_owned() }));
    /// ```
    pub fn new(last_good: bool, default: Option<String>) -> Self {
        Self { last_good: last_good.then(Mutex::default), default }
    }

    /// Keeps an answer that came at `mono`, if it is a good one: of a 2xx status.
    pub fn keep(&self, answer: &Answer, mono: Duration) {
        if let Some(kept) = self.last_good.as_ref().filter(|_| answer.status.is_success()) {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((answer.body.clone(), mono));
        }
    }

    /// What a call gets that is refused at `mono`.
    pub fn give(&self, mono: Duration) -> Option<Given> {
        let kept = self.last_good.as_ref().and_then(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone());
        match kept {
            Some((body, at)) => Some(Given::LastGood { body, age: mono.saturating_sub(at) }),
            None => self.default.clone().map(|body| Given::Default { body }),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn the_newest_good_answer_is_given_with_its_age() {
        let at = Duration::from_secs;
        let answer = |status, body: &str| Answer { status, body: body.to_owned() };
        for (last_good, default, expected) in [
            (false, None, None),
            (false, Some("[]"), Some(Given::Default { body: "[]".into() })),
            (true, None, Some(Given::LastGood { body: "2".into(), age: at(6) })),
            (true, Some("[]"), Some(Given::LastGood { body: "2".into(), age: at(6) })),
        ] {
            let fallback = Fallback::new(last_good, default.map(str::to_owned));
            fallback.keep(&answer(StatusCode::OK, "1"), at(3));
            fallback.keep(&answer(StatusCode::NO_CONTENT, "2"), at(4));
            fallback.keep(&answer(StatusCode::NOT_FOUND, "3"), at(5));
            assert_eq!(fallback.give(at(10)), expected, "{last_good} {default:?}");
        }
        assert_eq!(Fallback::new(true, None).give(at(1)), None, "there is none yet");
    }
}
