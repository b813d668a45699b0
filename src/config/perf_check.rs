//! The options of `perf-check`.

use clap::{Args, ValueEnum};

use super::store::Store;

/// `perf-check`.
#[derive(Debug, Clone, Args)]
pub struct PerfCheck {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Look at statements and their plans; without this and the next one, at everything.
    #[arg(long)]
    pub check_queries: bool,
    /// Look at indexes.
    #[arg(long)]
    pub check_indexes: bool,
    /// Statements that take longer on average are told as slow.
    #[arg(long, env = "PERF_CHECK_SLOW_MS", default_value_t = 100, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(i64).range(1..=3_600_000))]
    pub slow_ms: i64,
    /// Transactions that are open for longer are told; twelve times as long is critical.
    #[arg(long, env = "PERF_CHECK_LONG_TRANSACTION", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub long_transaction: i64,
    /// Exit with status 1 when something as grave was found.
    #[arg(long, env = "PERF_CHECK_FAIL_ON", value_enum, default_value_t = FailOn::Critical, value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// From which gravity on findings are a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings, and what is critical.
    Warning,
    /// What is critical alone.
    Critical,
    /// Nothing.
    Never,
}
