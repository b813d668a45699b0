//! The commands of the command line: each runs once, prints what came of it, and ends.

pub mod generate;
pub mod health;
pub mod import;
pub mod migrate;
pub mod serve;

use crate::app::AppError;
use crate::embedded::EmbeddedError;
use crate::import::ImportError;

/// Why a command that works on the log failed.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// A private server did not start or stop.
    #[error("a private server failed")]
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
    /// An import ended early.
    #[error("the import ended early; run it again to go on where it stopped")]
    Import(#[from] ImportError),
    /// The operator asked it to stop.
    #[error("stopped; run it again to go on where it stopped")]
    Stopped,
}
