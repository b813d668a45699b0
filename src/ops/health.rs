//! `health`: asks a running service, for images that hold nothing to ask with.

use std::time::Duration;

use axum::http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: u64 = 4096;

/// Why a service is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Not an `http://` address.
    #[error("'{0}' is not an http:// address")]
    Address(String),
    /// Nobody answers there.
    #[error("{address} does not answer")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It answers that it is not.
    #[error("{0}")]
    Unhealthy(String),
}

/// Succeeds when the address answers with status 200.
///
/// # Errors
/// [`HealthError`].
pub async fn health(config: &config::Health) -> Result<(), HealthError> {
    let uri: Uri = config.url.parse().map_err(|_| HealthError::Address(config.url.clone()))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(HealthError::Address(config.url.clone()));
    };
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask(&address, uri.path())).await;
    let answer = answer.unwrap_or_else(|elapsed| Err(elapsed.into()));
    let answer = answer.map_err(|source| HealthError::Unreachable { address, source })?;
    let status = answer.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(HealthError::Unhealthy(status.to_owned())),
    }
}

async fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
