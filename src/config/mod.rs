//! What can be configured: every option of every command, each also an environment variable.
//!
//! [`serve`] has the options of the service, an area's in a struct of their own; [`commands`] those of the commands that
//! end; [`store`] what they share.

mod backup;
mod commands;
mod perf_check;
mod serve;
mod store;

use clap::{Parser, Subcommand, ValueEnum};

pub use backup::{Export, Restore};
pub use commands::{Backtest, Generate, Health, Import, Names, Parked, Projections, Rebuild, Redrive, Verify};
pub use perf_check::{FailOn, PerfCheck};
pub use serve::{DEFAULT_POLICY, Role, Serve};
pub use store::{PolicyFiles, Store};

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
    /// Write the log to a file, while the service runs.
    Export(Export),
    /// Fill an empty store from such a file.
    Restore(Restore),
    /// Say what slows the databases down, or soon will, and what to do about it.
    PerfCheck(PerfCheck),
    /// Ask a running service for its health; exit status 0 when it is ready.
    Health(Health),
    /// Print the API's description (OpenAPI 3.1, JSON).
    Openapi,
}
