//! How the API meets the outside: TLS, how long connections may be waited for, and which pages of others may call it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use clap::Args;

/// The options of the API's port.
#[derive(Debug, Clone, Args)]
pub struct Edge {
    /// Certificate chain (PEM) of the API; with it HTTPS is spoken, and nothing else. It is read again when it changes.
    #[arg(long, env = "TLS_CERTIFICATE_FILE", requires = "tls_key_file", value_name = "FILE")]
    pub tls_certificate_file: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, env = "TLS_KEY_FILE", requires = "tls_certificate_file", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// Connections to the API at once, at most; whoever comes then waits until one has ended.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 2048, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_connections: u32,
    /// Seconds that a new connection has for TLS, and then for the headers of its first request.
    #[arg(long, env = "HEADER_TIMEOUT", default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub header_timeout: u64,
    /// Seconds that a connection is kept for its next request.
    #[arg(long, env = "IDLE_TIMEOUT", default_value_t = 75, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub idle_timeout: u64,
    /// Seconds that a body may pause, sent or taken; who has been waited for as long in all must have sent 16 KiB a second.
    #[arg(long, env = "BODY_TIMEOUT", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub body_timeout: u64,
    /// Origins whose pages may call the API from a browser, such as https://desk.example; none unless told.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN", value_parser = origin)]
    pub cors_allowed_origins: Vec<HeaderValue>,
}

impl Edge {
    /// Where certificate and key are, if HTTPS is to be spoken.
    #[must_use]
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_certificate_file.as_deref().zip(self.tls_key_file.as_deref())
    }

    /// What the API's addresses begin with.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls().is_some() { "https" } else { "http" }
    }

    /// How long a body may pause.
    #[must_use]
    pub const fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout)
    }
}

/// An origin as browsers write it: scheme, host and port, and no more.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || format!("must be an origin as browsers send it, such as https://desk.example, not '{text}'");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    let default_port = if scheme == "https" { 443 } else { 80 };
    let bare = format!("{scheme}://{authority}").to_ascii_lowercase();
    if text != bare || authority.as_str().contains('@') || authority.port_u16() == Some(default_port) {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://desk.example", "http://127.0.0.1:3000", "https://desk.example:8443", "http://[::1]:3000"]
        {
            assert_eq!(origin(good).unwrap(), good);
        }
        let bad = [
            "*",
            "null",
            "",
            "desk.example",
            "https://",
            "https://desk.example/",
            "https://desk.example/app",
            "https://desk.example:443",
            "http://desk.example:80",
            "https://Desk.example",
            "https://user@desk.example",
            "ftp://desk.example",
            "https://desk.example?x",
        ];
        for bad in bad {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
