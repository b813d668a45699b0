//! The commands of the command line: each runs once, prints what came of it, and ends.

pub mod backtest;
pub mod export;
pub mod generate;
pub mod health;
pub mod import;
pub mod keys;
pub mod migrate;
pub mod openapi;
pub mod perf_check;
mod progress;
pub mod projections;
pub mod rebuild;
pub mod restore;
pub mod serve;
pub mod verify;

use std::io::Write;
use std::path::PathBuf;

use crate::access::keys::NoRandomBytes;
use crate::access::keys::store::KeyError;
use crate::app::AppError;
use crate::backtest::BacktestError;
use crate::backup::export::ExportError;
use crate::backup::restore::RestoreError;
use crate::config::Store;
use crate::databases::{Databases, Purpose};
use crate::embedded::EmbeddedError;
use crate::import::ImportError;
use crate::policies::PoliciesError;
use crate::replay::ReplayError;
use crate::servers::Servers;
use crate::store::migrate::migrate;
use crate::store::restored::is_under_way;
use crate::verify::VerifyError;

/// Prints for whoever reads; that nobody does is no failure.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What a command does about a schema that is not up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Brings it up to date.
    Migrate,
    /// Nothing: it only looks.
    AsItIs,
    /// Brings it up to date, and goes on where a restore has not come to its end.
    Restore,
}

/// Works on the databases of `DATABASE_URL`, of a running service, or of a private server that is started for it.
pub(crate) async fn with_databases<T>(
    store: &Store,
    schema: Schema,
    work: impl AsyncFnOnce(&Databases) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let servers = Servers::for_a_command(store).await?;
    let outcome = connect_and(store, schema, &servers, work).await;
    let stopped = servers.stop().await;
    let outcome = outcome?;
    stopped?;
    Ok(outcome)
}

async fn connect_and<T>(
    store: &Store,
    schema: Schema,
    servers: &Servers,
    work: impl AsyncFnOnce(&Databases) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let (log, read_models) = (&servers.database_url, &servers.read_database_url);
    let databases = Databases::connect(log, read_models, &store.pool, Purpose::Command).await;
    let databases = databases.map_err(OpsError::Unreachable)?;
    if schema != Schema::AsItIs {
        migrate(&databases.log, &databases.read_models).await?;
    }
    if schema != Schema::Restore && is_under_way(&databases.log).await? {
        return Err(OpsError::Restoring);
    }
    let outcome = work(&databases).await?;
    databases.close().await;
    Ok(outcome)
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
    Unreachable(#[source] sqlx::Error),
    /// A database refused or did not answer.
    #[error("PostgreSQL refused or did not answer")]
    Database(#[from] sqlx::Error),
    /// A schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// There is no such file.
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
    /// The operator asked it to stop, and there is nothing to go on with.
    #[error("stopped before it came to its end")]
    Interrupted,
    /// A read model could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Another rebuild works.
    #[error("a rebuild is under way already; `projections` shows it, and `rebuild --cancel` stops it")]
    RebuildUnderWay,
    /// There is no rebuild.
    #[error("no rebuild is under way")]
    NoRebuild,
    /// There is a rebuild, of other read models.
    #[error("no rebuild of these is under way, but one of {0} is under way")]
    OtherRebuild(String),
    /// A rebuild was stopped.
    #[error("the rebuild was cancelled; the old tables serve")]
    RebuildCancelled,
    /// A rebuild failed.
    #[error("the rebuild failed, and the old tables serve: {0}")]
    RebuildFailed(String),
    /// One customer could not be rebuilt.
    #[error("the customer could not be rebuilt: {0}")]
    CustomerFailed(String),
    /// Customers cannot go on.
    #[error("{0} customers stay parked")]
    StillParked(usize),
    /// A scoring policy is not valid, or there is none of that name.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
    /// Decisions could not be taken again.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// Verification could not be done.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Verification found something.
    #[error("{0} differences were found")]
    Differences(u64),
    /// A key was not changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No key could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomBytes),
    /// The log could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The log could not be restored.
    #[error("the log was not restored")]
    Restore(#[source] RestoreError),
    /// Half a log is no log.
    #[error("a restore into this store has not come to its end; run it again to go on where it stopped")]
    Restoring,
    /// A database is in trouble.
    #[error("{0} findings want looking at")]
    Performance(usize),
    /// Something could not be written as JSON.
    #[error("the answer could not be written as JSON")]
    Json(#[from] serde_json::Error),
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
            | ImportError::Reader(_)
            | ImportError::OutOfTurn => Self::Import(error),
        }
    }
}
