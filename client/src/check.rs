//! `breakwater-client check URL...`: the images have no shell and no curl, so the client asks for them.

use std::time::Duration;

use reqwest::{Method, Url};

use crate::http::{Backend, Failure};

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks a URL once, by GET.
///
/// # Errors
/// In a few words, what came instead of a 2xx.
pub async fn check(url: Url) -> Result<(), String> {
    let backend = Backend::new(Method::GET, url, PATIENCE, PATIENCE).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(PATIENCE, backend.call()).await.unwrap_or(Err(Failure::Timeout));
    match answer.map_err(|failure| failure.to_string())?.status {
        status if status.is_success() => Ok(()),
        status => Err(format!("status {}", status.as_u16())),
    }
}
