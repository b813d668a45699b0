//! `health`: asks a running service, for images that hold nothing to ask with.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::config::{self, is_loopback};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a service is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Not an address of HTTP.
    #[error("'{0}' is not an http:// or https:// address")]
    Address(String),
    /// Nobody answers there.
    #[error("{address} does not answer")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It answers that it is not.
    #[error("HTTP status {0}")]
    Unhealthy(reqwest::StatusCode),
}

/// Succeeds when the address answers with status 200.
///
/// # Errors
/// [`HealthError`].
pub async fn health(config: &config::Health) -> Result<(), HealthError> {
    let address = || HealthError::Address(config.url.clone());
    let url: Url = config.url.parse().map_err(|_| address())?;
    let host = url.host_str().ok_or_else(address)?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(address());
    }
    let answer = ask(url.clone(), is_loopback(host)).await;
    // The address stands in the message already.
    let unreachable = |error: reqwest::Error| HealthError::Unreachable {
        address: url.origin().ascii_serialization(),
        source: error.without_url().into(),
    };
    match answer.map_err(unreachable)?.status() {
        reqwest::StatusCode::OK => Ok(()),
        status => Err(HealthError::Unhealthy(status)),
    }
}

/// A service's certificate names it as others call it, and no loopback address; and who listens there is this machine.
async fn ask(url: Url, is_loopback: bool) -> reqwest::Result<reqwest::Response> {
    let client = Client::builder()
        .timeout(ANSWER_WITHIN)
        .redirect(Policy::none())
        .no_proxy()
        .danger_accept_invalid_certs(is_loopback)
        .build()?;
    client.get(url).send().await
}
