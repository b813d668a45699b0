//! What is asked of a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the service and its limits side by side.
#[derive(Debug, Parser)]
pub(crate) struct Chosen {
    /// Plays a limit, for a run of this program that measures it.
    #[command(subcommand)]
    pub(crate) limit: Option<Limit>,
    /// Fewer, shorter rounds and small workbooks: under three minutes.
    #[arg(long)]
    quick: bool,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Reference, Part::Requests, Part::Bulk])]
    only: Vec<Part>,
    /// Rounds of which the median counts.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each is measured in a round.
    #[arg(long)]
    seconds: Option<u64>,
    /// Connections of the load.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,
    /// Customers of the workbooks that are imported.
    #[arg(long)]
    customers: Option<u64>,
    /// Loans of the workbooks that are imported.
    #[arg(long)]
    loans: Option<u64>,
    /// Where the figures are written.
    #[arg(long, default_value = "target/bench.json")]
    pub(crate) json: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Servers and libraries by themselves.
    Reference,
    /// Commands and queries over HTTP.
    Requests,
    /// Import, projection, rebuild.
    Bulk,
    /// The same beside much and beside little.
    Growth,
}

/// A limit that answers over HTTP.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Limit {
    /// Parses the JSON and answers.
    Parse,
    /// Looks the answer up by its primary key.
    Lookup,
    /// Appends the same bytes to the same table.
    Append,
}

impl Chosen {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.only.contains(&part)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 }).max(1)
    }

    /// Rounds of what takes long.
    pub(crate) fn long_rounds(&self) -> usize {
        self.rounds().min(if self.quick { 1 } else { 2 })
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 2 } else { 6 }).max(1))
    }

    pub(crate) fn customers(&self) -> u64 {
        self.customers.unwrap_or(if self.quick { 15_000 } else { 300_000 })
    }

    pub(crate) fn loans(&self) -> u64 {
        self.loans.unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }
}
