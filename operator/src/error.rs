//! What can go wrong outside.

use std::time::Duration;

/// The API server has so long for one answer: without a limit a connection into nowhere would hang an experiment for ever.
pub const API_LIMIT: Duration = Duration::from_secs(10);

/// Why a look at an experiment was broken off. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server said no, or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// The API server did not answer.
    #[error("the API server did not answer within {API_LIMIT:?}")]
    Timeout,
    /// Somebody else writes to the status all the time.
    #[error("the status is written to by somebody else again and again")]
    Contended,
}

impl Error {
    /// Whether the API server said that somebody else has written in between.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_conflict())
    }

    /// Whether the API server did not understand the request.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 400)
    }

    /// Whether the API server said that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_not_found())
    }
}

/// The answer, or [`Error::Timeout`] after [`API_LIMIT`].
///
/// # Errors
/// The call's own, or the time-out.
pub async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    tokio::time::timeout(API_LIMIT, call).await.map_err(|_| Error::Timeout)?.map_err(Error::Api)
}
