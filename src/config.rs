//! What can be configured: every option of every command, each also an environment variable.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aggregates::Invalid;
use aggregates::ids::CustomerId;
use chrono::FixedOffset;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use projections::Projection;

use crate::backtest::{DEFAULT_EXAMPLES, MAX_EXAMPLES, Moment};

/// Where data lies when nobody says otherwise.
const DEFAULT_DATA_DIR: &str = ".data";
/// The policy in force when nobody says otherwise.
pub const DEFAULT_POLICY: &str = "standard-1";

/// Decides who gets credit, records why, and never loses or double-counts a rupee.
#[derive(Debug, Parser)]
#[command(name = "credit-approval", version, max_term_width = 110)]
pub struct Cli {
    /// How the log is written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty, global = true)]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module (`info,sqlx=debug`).
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx::postgres::notice=warn,async_nats=warn",
        global = true,
        value_name = "FILTER"
    )]
    pub log_filter: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, relay events and keep the read models.
    Serve(Serve),
    /// Import workbooks of customers and loans.
    Import(Import),
    /// Write sample workbooks; the same seed gives the same bytes.
    Generate(Generate),
    /// Bring the database schemas up to date.
    Migrate(Store),
    /// Make read models anew from the log, while the old ones serve.
    Rebuild(Rebuild),
    /// Say how the read models stand: lag, heartbeats, rebuilds, and what is parked.
    Projections(Projections),
    /// List the customers whose events a read model cannot apply.
    Parked(Parked),
    /// Try parked customers again.
    Redrive(Redrive),
    /// Hold the log against its guarantees, and every read model against a fold of the log.
    Verify(Verify),
    /// Take the recorded decisions again under another policy, and say which would have fallen otherwise.
    Backtest(Backtest),
    /// Ask a running service for its health; exit status 0 when it is ready.
    Health(Health),
    /// Print the API's description (OpenAPI 3.1, JSON).
    Openapi,
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct Store {
    /// Directory of the private servers and their data, when no URL names others [default: .data].
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL that holds the event log; without it a private one is started under the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// PostgreSQL that holds the read models, when it is another one.
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub read_database_url: Option<String>,
    /// Connections of a pool to each database, at most; replays have ten more.
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 20, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
    /// The business day's offset from UTC.
    #[arg(
        long,
        env = "BUSINESS_UTC_OFFSET",
        default_value = "+05:30",
        value_name = "OFFSET",
        allow_hyphen_values = true, value_parser = utc_offset)]
    pub business_utc_offset: FixedOffset,
}

impl Store {
    /// The data directory, and whether somebody named it.
    #[must_use]
    pub fn data_dir(&self) -> (&Path, bool) {
        match &self.data_dir {
            Some(named) => (named, true),
            None => (Path::new(DEFAULT_DATA_DIR), false),
        }
    }
}

/// Which policies there are beside those that come with the product.
#[derive(Debug, Clone, Default, Args)]
pub struct PolicyFiles {
    /// Directory of further policies, a TOML file each.
    #[arg(long, env = "POLICIES_DIR", value_name = "DIR")]
    pub policies_dir: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR", default_value = "127.0.0.1:8000", value_name = "ADDR")]
    pub http_addr: SocketAddr,
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

/// `import`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("workbooks").args(["customers", "loans"]).required(true).multiple(true))]
pub struct Import {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Workbook of customers.
    #[arg(long, value_name = "FILE")]
    pub customers: Option<PathBuf>,
    /// Workbook of loans.
    #[arg(long, value_name = "FILE")]
    pub loans: Option<PathBuf>,
    /// Read and check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where rows that were not taken, and warnings, are written as CSV.
    #[arg(long, env = "IMPORT_REJECTS", default_value = "import-rejects.csv", value_name = "FILE")]
    pub rejects: PathBuf,
}

/// `generate`.
#[derive(Debug, Clone, Args)]
pub struct Generate {
    /// How many customers.
    #[arg(long, default_value_t = 300, value_name = "N")]
    pub customers: u32,
    /// How many loans.
    #[arg(long, default_value_t = 780, value_name = "N")]
    pub loans: u32,
    /// Another seed gives other workbooks.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub seed: u64,
    /// Every id is above this one, so that the rows fit beside others.
    #[arg(long, default_value_t = 0, value_name = "ID")]
    pub ids_above: u32,
    /// Directory to write customer_data.xlsx and loan_data.xlsx to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which read models.
#[derive(Debug, Clone, Args)]
pub struct Names {
    /// Names of read models: customers, loans, credit_profiles, decisions.
    #[arg(value_name = "NAME", value_parser = projection)]
    pub names: Vec<Projection>,
}

impl Names {
    /// Those that were named, all of them where none was.
    #[must_use]
    pub fn chosen(&self) -> Vec<Projection> {
        let named = |projection: &Projection| self.names.is_empty() || self.names.contains(projection);
        Projection::ALL.into_iter().filter(named).collect()
    }
}

/// `rebuild`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").args(["names", "all", "cancel"]).required(true).multiple(true))]
pub struct Rebuild {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models.
    #[command(flatten)]
    pub names: Names,
    /// All read models.
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// This customer alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
    /// Stop the rebuild under way; the old tables go on serving.
    #[arg(long, conflicts_with = "customer")]
    pub cancel: bool,
}

/// `projections`.
#[derive(Debug, Clone, Args)]
pub struct Projections {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// As `GET /v1/projections` answers.
    #[arg(long)]
    pub json: bool,
}

/// `parked`.
#[derive(Debug, Clone, Args)]
pub struct Parked {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models; all without a name.
    #[command(flatten)]
    pub names: Names,
}

/// `redrive`.
#[derive(Debug, Clone, Args)]
pub struct Redrive {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models; all without a name.
    #[command(flatten)]
    pub names: Names,
    /// This customer alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which policies there are: decisions are taken again under the one that they were taken under.
    #[command(flatten)]
    pub policies: PolicyFiles,
    /// How many differences are printed at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub show: usize,
}

/// `backtest`.
#[derive(Debug, Clone, Args)]
pub struct Backtest {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which policies there are.
    #[command(flatten)]
    pub policies: PolicyFiles,
    /// The other policy: a TOML file, or the id of a policy that there is.
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// Decisions since that day, it included, or since that instant.
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub decided_after: Option<Moment>,
    /// Decisions until that day, it excluded, or until that instant.
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub decided_before: Option<Moment>,
    /// Decisions over this customer's applications alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
    /// How many decisions that fall otherwise are listed, at most, each way.
    #[arg(long, default_value_t = DEFAULT_EXAMPLES, value_name = "N",
          value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_EXAMPLES)))]
    pub examples: u8,
    /// As `POST /v1/policies/backtest` answers.
    #[arg(long)]
    pub json: bool,
}

/// `health`.
#[derive(Debug, Clone, Args)]
pub struct Health {
    /// What to ask.
    #[arg(long, env = "HEALTH_URL", default_value = "http://127.0.0.1:8000/health/ready", value_name = "URL")]
    pub url: String,
}

fn projection(name: &str) -> Result<Projection, String> {
    let known = Projection::ALL.map(Projection::name).join(", ");
    Projection::from_name(name).ok_or_else(|| format!("there is no such read model; there are: {known}"))
}

fn moment(text: &str) -> Result<Moment, String> {
    text.parse().map_err(|Invalid(message)| message)
}

fn customer_id(text: &str) -> Result<CustomerId, String> {
    let id: i64 = text.parse().map_err(|_| "must be an integer".to_owned())?;
    CustomerId::try_from(id).map_err(|error| error.to_string())
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

/// `+HH:MM` or `-HH:MM`.
fn utc_offset(text: &str) -> Result<FixedOffset, String> {
    let wrong = || "must be an offset such as +05:30".to_owned();
    let well_formed = text.len() == "+05:30".len() && text.starts_with(['+', '-']) && text.as_bytes()[3] == b':';
    if well_formed { text.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}
