//! How one target is called.

use std::{num::NonZeroU32, time::Duration};

use breakwater_service::{duration, share};
use clap::{Args, ValueEnum};
use reqwest::{Method, Url};

use super::BreakerSettings;
use crate::{caller::Plan, fallback, retry};

/// A target: what is called, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of the target and of its breaker.
    pub name: String,
    /// What is called.
    pub url: Url,
    /// How it is called.
    pub settings: TargetSettings,
}

/// How a target is called. Each of these is a flag, and a key of the file.
#[derive(Args, Clone, Debug)]
pub struct TargetSettings {
    /// Method of the call; one that is not idempotent is never tried again
    #[arg(long, env = "CLIENT_METHOD", default_value = "GET", value_parser = method)]
    pub method: Method,

    /// Time from one call to the next; calls that were missed are skipped
    #[arg(long, env = "CLIENT_INTERVAL", default_value = "3s", value_parser = above_zero)]
    pub interval: Duration,

    /// How long a call may take, its retries included [default: the interval]
    #[arg(long, env = "CLIENT_DEADLINE", value_parser = above_zero)]
    pub deadline: Option<Duration>,

    /// How long one attempt may take
    #[arg(long, env = "CLIENT_ATTEMPT_TIMEOUT", default_value = "2s", value_parser = above_zero)]
    pub attempt_timeout: Duration,

    /// How long a connection that nobody uses is kept for the next attempt; 0s makes one for each
    #[arg(long, env = "CLIENT_KEEP_ALIVE", default_value = "30s", value_parser = duration::parse)]
    pub keep_alive: Duration,

    /// Attempts of one call at most, fewer than the failure threshold; 1 means no retry
    #[arg(long, env = "CLIENT_ATTEMPTS", default_value = "2")]
    pub attempts: NonZeroU32,

    /// Longest delay before the first retry; it doubles with each further one, and is drawn from 0 up to it
    #[arg(long, env = "CLIENT_RETRY_BASE", default_value = "100ms", value_parser = duration::parse)]
    pub retry_base: Duration,

    /// Longest delay before any retry, unless the answer's Retry-After asks for more
    #[arg(long, env = "CLIENT_RETRY_CAP", default_value = "500ms", value_parser = duration::parse)]
    pub retry_cap: Duration,

    /// Retries at most as a share of the calls of the last 10 s, beside those of --retry-reserve
    #[arg(long, env = "CLIENT_RETRY_BUDGET", default_value = "20%", value_parser = share::parse)]
    pub retry_budget: f64,

    /// Retries a second that are allowed however few calls there are
    #[arg(long, env = "CLIENT_RETRY_RESERVE", default_value = "10", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub retry_reserve: u32,

    /// What a call gets that the breaker refuses
    #[arg(long, env = "CLIENT_FALLBACK", value_enum, default_value = "none")]
    pub fallback: FallbackKind,

    /// The stated answer of --fallback default, and of --fallback last-good as long as there was none
    #[arg(long, env = "CLIENT_FALLBACK_ANSWER")]
    pub fallback_answer: Option<String>,

    /// How its breaker behaves.
    #[command(flatten)]
    pub breaker: BreakerSettings,
}

/// What a call gets that the breaker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FallbackKind {
    /// Nothing
    None,
    /// The last good answer, with its age
    LastGood,
    /// The answer of --fallback-answer
    Default,
}

/// Settings that each are allowed, but not together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The flags, without their dashes.
    pub between: Vec<&'static str>,
    /// What to write instead.
    pub said: String,
}

impl TargetSettings {
    /// What each setting allows by itself, but not together with another.
    pub fn contradiction(&self) -> Option<Contradiction> {
        let Self { attempts, attempt_timeout, retry_base, retry_cap, .. } = self;
        let plan = self.plan();
        let deadline = plan.deadline;
        let found = |between: &[&'static str], said| Some(Contradiction { between: between.to_vec(), said });
        if let Some(found) = self.breaker.contradiction(&plan, attempts.get(), *attempt_timeout) {
            Some(found)
        } else if *attempt_timeout > deadline {
            let said = format!(
                "--attempt-timeout {attempt_timeout:?} must not exceed the deadline of a call, {deadline:?} (--deadline, \
                 by default --interval): an attempt that is cut by it never counts"
            );
            found(&["attempt-timeout", "deadline", "interval"], said)
        } else if retry_base > retry_cap {
            let said = format!("--retry-base {retry_base:?} must not exceed --retry-cap {retry_cap:?}");
            found(&["retry-base", "retry-cap"], said)
        } else if self.fallback == FallbackKind::Default && self.fallback_answer.is_none() {
            let said = "--fallback default needs the answer: write --fallback-answer ANSWER too".to_owned();
            found(&["fallback"], said)
        } else if self.fallback == FallbackKind::None && self.fallback_answer.is_some() {
            let said = "--fallback-answer is never given: write --fallback default or last-good too".to_owned();
            found(&["fallback-answer", "fallback"], said)
        } else {
            None
        }
    }

    /// How ticks call.
    pub fn plan(&self) -> Plan {
        Plan {
            interval: self.interval,
            deadline: self.deadline.unwrap_or(self.interval),
            // RFC 9110, 9.2.2: a client should not automatically retry a request with a non-idempotent method.
            attempts: if self.method.is_idempotent() { self.attempts.get() } else { 1 },
            retry_base: self.retry_base,
            retry_cap: self.retry_cap,
        }
    }

    /// A budget for its retries.
    pub fn budget(&self) -> retry::Budget {
        retry::Budget::new(self.retry_budget, self.retry_reserve)
    }

    /// What calls get that the breaker refuses.
    pub fn fallback(&self) -> fallback::Fallback {
        let answer = self.fallback_answer.clone();
        fallback::Fallback::new(self.fallback == FallbackKind::LastGood, answer)
    }
}

pub(super) fn above_zero(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    if duration.is_zero() { Err("write a duration above zero, like 500ms or 3s".to_owned()) } else { Ok(duration) }
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::POST, Method::PATCH];
    known
        .into_iter()
        .find(|method| method.as_str() == text)
        .ok_or_else(|| "write GET, HEAD, OPTIONS, PUT, DELETE, POST or PATCH".to_owned())
}

/// A URL that the client can call.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it like http://backend:5000/data"))?;
    if url.scheme() != "http" {
        Err(format!("{}: is not spoken here; write it like http://backend:5000/data", url.scheme()))
    } else if !url.username().is_empty() || url.password().is_some() {
        // Logs and traces tell the URL.
        Err("a user's name or password would stand in logs and traces; write it like http://backend:5000/data"
            .to_owned())
    } else {
        Ok(url)
    }
}

/// A name that can stand in a log line, a query and a label.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn target_name(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=63).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("write a name of up to 63 letters, digits, - _ and .".to_owned())
    }
}
