//! The options of `serve`. Those of one area are a struct of their own, flattened into [`Serve`].

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::access::Access;
use super::cache::Cache;
use super::edge::Edge;
use super::lifecycle::Lifecycle;
use super::limits::RateLimits;
use super::load::Load;
use super::secret::{SecretFile, secret_file};
use super::store::{PolicyFiles, Store};

/// The policy in force when nobody says otherwise.
pub const DEFAULT_POLICY: &str = "standard-1";

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// How much is worked on at once.
    #[command(flatten)]
    pub load: Load,
    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR", default_value = "127.0.0.1:8000", value_name = "ADDR")]
    pub http_addr: SocketAddr,
    /// How the API meets the outside.
    #[command(flatten)]
    pub edge: Edge,
    /// How many requests a caller may send.
    #[command(flatten)]
    pub rate_limits: RateLimits,
    /// NATS with JetStream; without it a private one is started, if nats-server is installed.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// File that holds the URL of NATS, in place of the URL.
    #[arg(long, env = "NATS_URL_FILE", conflicts_with = "nats_url", value_name = "FILE", value_parser = secret_file)]
    pub nats_url_file: Option<SecretFile>,
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
    /// Start, health and stop.
    #[command(flatten)]
    pub lifecycle: Lifecycle,
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
    /// Who may use the API.
    #[command(flatten)]
    pub access: Access,
    /// What is kept in memory.
    #[command(flatten)]
    pub cache: Cache,
}

impl Serve {
    /// Whether this process does that.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// NATS, if one is named.
    #[must_use]
    pub fn nats_url(&self) -> Option<&str> {
        self.nats_url.as_deref().or(self.nats_url_file.as_ref().map(SecretFile::reveal))
    }
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
