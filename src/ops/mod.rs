//! The commands of the command line: each runs once, prints what came of it, and ends.

pub mod generate;
pub mod health;
pub mod import;
pub mod migrate;
pub mod serve;

use std::io::Write;
use std::path::PathBuf;

use crate::app::AppError;
use crate::embedded::EmbeddedError;
use crate::import::ImportError;

/// Prints for whoever reads; that nobody does is no failure.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Why a command that works on the log failed.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// A private server did not start or stop.
    #[error(transparent)]
    Servers(#[from] EmbeddedError),
    /// The service could not start.
    #[error(transparent)]
    App(#[from] AppError),
    /// A database cannot be reached.
    #[error("cannot connect to PostgreSQL")]
    Database(#[from] sqlx::Error),
    /// A schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// There is no such workbook.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// A workbook cannot be read, and nothing was imported.
    #[error("nothing was imported")]
    Workbook(#[source] ImportError),
    /// An import ended early.
    #[error("the import ended early; run it again to go on where it stopped")]
    Import(#[source] ImportError),
    /// The operator asked it to stop.
    #[error("stopped; run it again to go on where it stopped")]
    Stopped,
}

impl From<ImportError> for OpsError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Workbook { .. } | ImportError::Notices(_) => Self::Workbook(error),
            ImportError::Store(_)
            | ImportError::Append(_)
            | ImportError::Command(_)
            | ImportError::Contention
            | ImportError::Generate(_)
            | ImportError::Sample(_)
            | ImportError::Reader(_) => Self::Import(error),
        }
    }
}
