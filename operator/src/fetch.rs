//! How a client replica is asked: one GET, whose answer is the pod's own or none.

use std::net::IpAddr;

use futures::{FutureExt, future::BoxFuture};
use reqwest::{Client, Url, redirect, retry};

/// An answer may have so many bytes: a full record of 1024 transitions fits, each with an error of some 300 characters.
pub const ANSWER_BYTES: usize = 1 << 19;

/// Gets a document from a pod.
pub trait Fetch: Send + Sync {
    /// The document there, or why there is none, for people. It is dropped when it lasts too long.
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// Over HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    api_server: Vec<IpAddr>,
}

impl Http {
    /// A client that follows no redirect, uses no proxy and tries nothing again.
    ///
    /// # Errors
    /// Where the platform has no usable HTTP client.
    pub fn new() -> reqwest::Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .user_agent(concat!("breakwater/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, api_server: vec![] })
    }

    /// From now on nothing at these addresses is asked: where pods find the API server.
    #[must_use]
    pub fn sparing(self, api_server: Vec<IpAddr>) -> Self {
        Self { api_server, ..self }
    }
}

impl Fetch for Http {
    fn fetch(&self, url: Url) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>());
        if let Some(Ok(host)) = host
            && self.api_server.iter().any(|address| host.to_canonical() == address.to_canonical())
        {
            return async move { Err(format!("{host} is the API server's address, so it is not asked")) }.boxed();
        }
        get(self.client.clone(), url).boxed()
    }
}

async fn get(http: Client, url: Url) -> Result<Vec<u8>, String> {
    let path = url.path().to_string();
    let mut response = http.get(url).send().await.map_err(|error| reason(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(format!("its answer is longer than {ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        // A client may say in words what it cannot answer.
        let said = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let said = said["error"].as_str().map(|said| format!(": {said}")).unwrap_or_default();
        return Err(format!("{path} answers {status}{said}"));
    }
    Ok(body)
}

/// The innermost cause says what happened: "connection refused", not "error sending request".
fn reason(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
