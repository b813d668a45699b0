//! What can be configured: every option of every command, each also an environment variable.
//!
//! [`serve`] has the options of the service, an area's in a struct of their own; [`commands`] those of the commands that
//! end; [`store`] and [`telemetry`] what they share.

mod access;
mod backup;
mod cache;
mod commands;
#[cfg(test)]
mod documented;
mod duration;
mod edge;
mod lifecycle;
mod limits;
mod load;
mod perf_check;
mod pool;
mod secret;
mod serve;
mod store;
mod telemetry;

use clap::{Parser, Subcommand};

pub(crate) use access::is_loopback;
pub use access::{Access, AnonymousOriginals, CreateKey, Keys, KeysCommand, ListKeys, RevokeKey, RotateKey};
pub use backup::{Export, Restore};
pub use cache::Cache;
pub use commands::{Backtest, Generate, Health, Import, Names, Parked, Projections, Rebuild, Redrive, Verify};
pub use edge::Edge;
pub use lifecycle::Lifecycle;
pub use limits::{ForwardedHeader, RateLimits, WithoutWindows};
pub use load::Load;
pub use perf_check::{FailOn, PerfCheck};
pub use pool::Pool;
pub use secret::SecretFile;
pub use serve::{DEFAULT_POLICY, Role, Serve};
pub use store::{PolicyFiles, Store};
pub use telemetry::{LogFormat, Sampler, Telemetry, Traces};

/// Decides who gets credit, records why, and never loses or double-counts a rupee.
#[derive(Debug, Parser)]
#[command(name = "credit-approval", version, max_term_width = 110)]
pub struct Cli {
    /// The log and the traces.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, relay events and keep the read models.
    Serve(Box<Serve>),
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
    /// Make, list, revoke and replace keys of the API.
    Keys(Keys),
    /// Ask a running service for its health; exit status 0 when it is ready.
    Health(Health),
    /// Print the API's description (OpenAPI 3.1, JSON).
    Openapi,
}
