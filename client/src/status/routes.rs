//! `GET /status`: its query, its ETag, its refusals.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use breakwater_service::duration;
use serde::{Deserialize, Serialize};

use super::{Position, Refusal, Status, position};

/// The query as it came.
#[derive(Debug, Deserialize)]
pub struct StatusQuery {
    /// Tell of this breaker alone.
    pub(super) breaker: Option<String>,
    /// The transitions after this.
    pub(super) since: Option<String>,
    wait: Option<String>,
}

/// A sentence that says what to write instead.
#[derive(Debug, Serialize)]
struct Said {
    error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, error) = match self {
            Self::NoSuchBreaker(error) => (StatusCode::NOT_FOUND, error),
            Self::Wrong(error) => (StatusCode::BAD_REQUEST, error),
        };
        (code, Json(Said { error })).into_response()
    }
}

pub(super) fn understood(query: Result<Query<StatusQuery>, QueryRejection>) -> Result<StatusQuery, Refusal> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Refusal::Wrong(format!("{}; write ?since=EPOCH:SEQ&wait=25s", error.body_text()))),
    }
}

impl StatusQuery {
    pub(super) fn since(&self) -> Result<Option<Position>, Refusal> {
        let since = self.since.as_deref().map(str::parse::<Position>).transpose();
        since.map_err(|error| Refusal::Wrong(format!("since: {error}")))
    }

    fn wait(&self) -> Result<Duration, Refusal> {
        let wait = self.wait.as_deref().map(duration::parse).transpose();
        wait.map(Option::unwrap_or_default).map_err(|error| Refusal::Wrong(format!("wait: {error}")))
    }
}

/// Answers `GET /status?breaker=NAME&since=EPOCH:SEQ&wait=25s`; each is optional.
///
/// The ETag changes with each transition and nothing else: with it in If-None-Match the answer is 304 as long as there
/// is no new one. It is a weak one, as the report also holds counts of calls.
pub async fn get(
    State(status): State<Arc<Status>>,
    query: Result<Query<StatusQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    answer(&status, query, &headers).await.unwrap_or_else(Refusal::into_response)
}

async fn answer(
    status: &Status,
    query: Result<Query<StatusQuery>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let query = understood(query)?;
    let chosen = status.choose(query.breaker.as_deref())?;
    let report = status.report(&chosen, query.since()?.as_ref(), query.wait()?).await?;
    let tag = format!("W/\"{}\"", position(&report));
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|tags| tags.to_str().is_ok_and(|tags| names(tags, &tag)));
    let head = [(CACHE_CONTROL, "no-store".to_owned()), (ETAG, tag)];
    Ok(if known { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, Json(report)).into_response() })
}

/// An If-None-Match names this tag; a weak one equals its strong one there.
fn names(tags: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.split(',').any(|one| one.trim() == "*" || opaque(one) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_is_compared_weakly() {
        for (tags, known) in [
            (r#"W/"e:1""#, true),
            (r#""e:1""#, true),
            (r#""other", W/"e:1""#, true),
            ("*", true),
            (r#"W/"e:11""#, false),
            ("e:1", false),
            ("", false),
        ] {
            assert_eq!(names(tags, r#"W/"e:1""#), known, "{tags}");
        }
    }
}
