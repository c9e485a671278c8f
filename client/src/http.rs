//! The HTTP call, and what its answer means.

use std::{fmt, time::Duration};

use reqwest::{StatusCode, Url};

/// More of an answer than this is not read, in bytes.
const MAX_BODY: usize = 16 * 1024;

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
    Status(StatusCode),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
        }
    }
}

/// Tells a status that counts as a failure from one by which the backend shows that it lives.
pub fn judge(status: StatusCode) -> Result<StatusCode, Failure> {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Status(status)),
        _ if status.is_server_error() => Err(Failure::Status(status)),
        _ => Ok(status),
    }
}

/// The backend, called by `GET`.
#[derive(Clone, Debug)]
pub struct Backend {
    client: reqwest::Client,
    url: Url,
}

impl Backend {
    /// A backend at `url`. Its connections are kept alive; making one takes at most `connect_timeout`.
    ///
    /// # Errors
    /// If reqwest cannot be set up.
    pub fn new(url: Url, connect_timeout: Duration) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            // The breaker counts every attempt: none may be made, redirected or sent elsewhere below it.
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("breakwater-client/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url })
    }

    /// One attempt, without a time-out of its own.
    ///
    /// # Errors
    /// What the breaker counts as a failure.
    pub async fn get(&self) -> Result<Answer, Failure> {
        let mut response = self.client.get(self.url.clone()).send().await.map_err(transport)?;
        let status = judge(response.status())?;
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
        let failed = |code: u16| judge(StatusCode::from_u16(code).unwrap()).is_err();
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
