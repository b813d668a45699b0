//! The options of the commands that take the log out of its store and into another.

use std::path::PathBuf;

use clap::Args;

use super::store::Store;

/// `export`.
#[derive(Debug, Clone, Args)]
pub struct Export {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// File to write, packed if it ends in .gz or .zst; `-` is the standard output.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// Where the data is to be: a store that holds nothing yet.
    #[command(flatten)]
    pub store: Store,
    /// File that `export` has written.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Numbers of every kind (positions, ids) that are left out before new ones are given: as many as may have been given
    /// between the export and the loss, so that no client meets an old number with a new meaning.
    #[arg(long, env = "RESTORE_LEAVE_UNUSED", default_value_t = 0, value_name = "N",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000_000_000))]
    pub leave_unused: i64,
}
