//! The options of `serve`. Those of one area are a struct of their own, flattened into [`Serve`].

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::limits::RateLimits;
use super::store::{PolicyFiles, Store};

/// The policy in force when nobody says otherwise.
pub const DEFAULT_POLICY: &str = "standard-1";

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR", default_value = "127.0.0.1:8000", value_name = "ADDR")]
    pub http_addr: SocketAddr,
    /// How many requests a caller may send.
    #[command(flatten)]
    pub rate_limits: RateLimits,
    /// NATS with JetStream; without it a private one is started, if nats-server is installed.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// Name of the stream, and first part of its subjects.
    #[arg(long, env = "NATS_STREAM", default_value = "CREDIT", value_name = "NAME", value_parser = stream_name)]
    pub nats_stream: String,
    /// Bytes of the stream; beyond them it drops its oldest messages, which are in the log all the same.
    #[arg(long, env = "NATS_STREAM_BYTES", default_value_t = 1 << 30, value_name = "BYTES",
          value_parser = clap::value_parser!(i64).range(1 << 20..))]
    pub nats_stream_bytes: i64,
    /// Servers of a NATS cluster that hold the stream.
    #[arg(long, env = "NATS_REPLICAS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: u8,
    /// What this process does.
    #[arg(long, env = "ROLES", value_enum, value_delimiter = ',', default_value = "api,relay,projector,importer")]
    pub roles: Vec<Role>,
    /// Fill an empty store from generated workbooks first.
    #[arg(long, env = "SAMPLE_DATA")]
    pub sample_data: bool,
    /// The policy that decisions are taken under.
    #[arg(long, env = "POLICY", default_value = DEFAULT_POLICY, value_name = "ID")]
    pub policy: String,
    /// Which policies there are.
    #[command(flatten)]
    pub policies: PolicyFiles,
    /// Seconds that a request waits for the read models at most.
    #[arg(long, env = "VISIBILITY_TIMEOUT", default_value_t = 5, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=60))]
    pub visibility_timeout: u64,
    /// Bytes of the workbooks of one uploaded import at most.
    #[arg(long, env = "IMPORT_MAX_BYTES", default_value_t = 64 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(1 << 10..=1 << 30))]
    pub import_max_bytes: u64,
    /// Days that an import's outcome and its rejects are kept after it ended; the last 1000 at most.
    #[arg(long, env = "IMPORT_KEEP_DAYS", default_value_t = 90, value_name = "DAYS",
          value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub import_keep_days: u16,
}

/// What a process can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers HTTP requests.
    Api,
    /// Publishes the log to NATS; one works, others stand by.
    Relay,
    /// Keeps the read models.
    Projector,
    /// Works on uploaded imports.
    Importer,
}

/// A stream's name is part of subjects, so it keeps to what both may hold.
fn stream_name(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err("must be 1 to 64 letters, digits, hyphens or underscores".to_owned())
    }
}
