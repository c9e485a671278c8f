//! The HTTP call, and what its answer means.

use std::{fmt, time::Duration};

use reqwest::{Method, StatusCode, Url, header::HeaderMap};
use tracing::{Instrument, Span};

use crate::{retry_after::retry_after, trace};

/// More of an answer than this is not read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// So many connections are kept that nobody uses.
const MAX_IDLE: usize = 64;

/// An answer that means that the backend lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status: any but those of [`Failure::Status`].
    pub status: StatusCode,
    /// Its body on one line, up to 16 KiB.
    pub body: String,
}

/// What the breaker counts as a failure. All of them are transient: another attempt may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No whole answer within the time-out of the attempt.
    Timeout,
    /// No connection: refused, unreachable, or a name that does not resolve.
    Connect,
    /// The connection broke before the whole answer.
    Reset,
    /// 408, 429 or 5xx.
    Status {
        /// Which.
        status: StatusCode,
        /// How long the backend wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Status { status, .. } => write!(f, "status {}", status.as_u16()),
        }
    }
}

impl Failure {
    /// How long the backend wants to be left alone, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Timeout | Self::Connect | Self::Reset => None,
        }
    }
}

/// Tells a status that counts as a failure from one by which the backend shows that it lives.
pub fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

/// The backend, and how it is called.
#[derive(Clone, Debug)]
pub struct Backend {
    client: reqwest::Client,
    method: Method,
    url: Url,
}

impl Backend {
    /// A backend at `url`. Its connections are kept for `keep_alive`, and no longer than its host answers them.
    ///
    /// Behind a Service's address each connection leads to the one pod that it was made to. So one that does not
    /// answer for `timeout` is given up, in use or not: else calls would be sent to a pod that is no more.
    ///
    /// # Errors
    /// If reqwest cannot be set up.
    pub fn new(method: Method, url: Url, timeout: Duration, keep_alive: Duration) -> reqwest::Result<Self> {
        // The kernel counts in seconds.
        let probe = timeout.max(Duration::from_secs(1));
        let client = reqwest::Client::builder()
            .connect_timeout(timeout)
            .pool_idle_timeout(keep_alive)
            .pool_max_idle_per_host(if keep_alive.is_zero() { 0 } else { MAX_IDLE })
            .tcp_keepalive(probe)
            .tcp_keepalive_interval(probe)
            .tcp_keepalive_retries(1)
            .tcp_user_timeout(timeout)
            // The breaker counts every attempt: none may be made, redirected or sent elsewhere below it.
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("breakwater-client/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, method, url })
    }

    /// One attempt, without a time-out of its own.
    ///
    /// # Errors
    /// What the breaker counts as a failure.
    pub async fn call(&self) -> Result<Answer, Failure> {
        let span = trace::request(&self.method, &self.url);
        let answer = self.exchange(&span).instrument(span.clone()).await;
        let failure = answer.as_ref().err();
        trace::requested(&span, status_of(&answer).map(|status| status.as_u16()), failure.map(|failure| failure as _));
        answer
    }

    async fn exchange(&self, span: &Span) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        trace::hand_on(span, &mut headers);
        let request = self.client.request(self.method.clone(), self.url.clone()).headers(headers);
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status();
        if is_failure(status) {
            return Err(Failure::Status { status, retry_after: retry_after(response.headers()) });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                body.truncate(MAX_BODY);
                break;
            }
        }
        Ok(Answer { status, body: one_line(&body) })
    }
}

fn status_of(answer: &Result<Answer, Failure>) -> Option<StatusCode> {
    match answer {
        Ok(Answer { status, .. }) | Err(Failure::Status { status, .. }) => Some(*status),
        Err(Failure::Timeout | Failure::Connect | Failure::Reset) => None,
    }
}

fn transport(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::Timeout
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Reset
    }
}

/// JSON as it is, without its line breaks; anything else as a quoted string.
fn one_line(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .map_or_else(|_| format!("{:?}", String::from_utf8_lossy(body)), |json| json.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_that_are_failures() {
        let failed = |code: u16| is_failure(StatusCode::from_u16(code).unwrap());
        let failures: Vec<u16> = (100..600).filter(|code| failed(*code)).collect();
        assert_eq!(failures, [408, 429].into_iter().chain(500..600).collect::<Vec<_>>());
    }

    #[test]
    fn bodies_are_logged_on_one_line() {
        for (body, line) in [
            ("{\"message\":\"Backend Running\"}\n", r#"{"message":"Backend Running"}"#),
            ("{\n  \"message\": 1\n}", r#"{"message":1}"#),
            ("<h1>\nhello", r#""<h1>\nhello""#),
            ("", r#""""#),
        ] {
            assert_eq!(one_line(body.as_bytes()), line);
        }
    }
}
