//! The servers that a process works with: those the configuration names, or private ones of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Store;
use crate::embedded::{DataDir, EmbeddedError, Nats, Postgres, Tuning, running_postgres};

const NATS_WITHIN: Duration = Duration::from_secs(15);

/// PostgreSQL and NATS, wherever they run.
pub struct Servers {
    /// Of the event log.
    pub database_url: String,
    /// Of the read models.
    pub read_database_url: String,
    /// Of NATS; `None` when there is none, and workers follow the log directly.
    pub nats_url: Option<String>,
    /// Where this process may keep files.
    pub data_dir: PathBuf,
    postgres: Option<Postgres>,
    nats: Option<Nats>,
}

impl Servers {
    /// For serving: the configured servers, or private ones, NATS where it is installed.
    ///
    /// A configured PostgreSQL gets no private NATS: other processes may work on the same log, and what a relay
    /// published to a server of its own would not reach their workers. They follow the log directly then.
    ///
    /// # Errors
    /// When a server cannot be started, or the data directory belongs to another running process.
    pub async fn for_serving(store: &Store, nats_url: Option<&str>) -> Result<Self, EmbeddedError> {
        let (path, explicit) = store.data_dir();
        if let Some(database_url) = store.database_url() {
            return Ok(Self::of_others(store, database_url.to_owned(), nats_url.map(str::to_owned), path));
        }
        let data = claim(path, explicit)?;
        let postgres = Postgres::start(&data, Tuning::Durable).await?;
        let nats = match nats_url {
            None if Nats::installed() => start_nats(&data).await,
            Some(_) | None => None,
        };
        let nats_url = nats.as_ref().map(Nats::url).or_else(|| nats_url.map(str::to_owned));
        let servers = Self::of_others(store, postgres.url(), nats_url, data.path());
        Ok(Self { postgres: Some(postgres), nats, ..servers })
    }

    /// For a command that works on the log and ends: the configured database, that of a running service, or a private
    /// one for as long as the command takes.
    ///
    /// # Errors
    /// As [`Servers::for_serving`].
    pub async fn for_a_command(store: &Store) -> Result<Self, EmbeddedError> {
        let (path, explicit) = store.data_dir();
        let running = store.database_url().map(str::to_owned).or_else(|| running_postgres(path, explicit));
        if let Some(database_url) = running {
            return Ok(Self::of_others(store, database_url, None, path));
        }
        let data = claim(path, explicit)?;
        let postgres = Postgres::start(&data, Tuning::Durable).await?;
        let servers = Self::of_others(store, postgres.url(), None, data.path());
        Ok(Self { postgres: Some(postgres), ..servers })
    }

    fn of_others(store: &Store, database_url: String, nats_url: Option<String>, data_dir: &Path) -> Self {
        let read_database_url = store.read_database_url().unwrap_or(&database_url).to_owned();
        Self { database_url, read_database_url, nats_url, data_dir: data_dir.to_owned(), postgres: None, nats: None }
    }

    /// Whether PostgreSQL is a private one.
    #[must_use]
    pub const fn owns_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Stops what was started, PostgreSQL last.
    ///
    /// # Errors
    /// When a server did not stop in order; it has stopped all the same.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        let nats = match self.nats {
            Some(nats) => nats.stop().await,
            None => Ok(()),
        };
        if let Some(postgres) = self.postgres {
            postgres.stop().await?;
        }
        nats
    }
}

fn claim(path: &Path, explicit: bool) -> Result<DataDir, EmbeddedError> {
    let data = DataDir::claim(path, explicit)?;
    if let Some(wanted) = data.moved_from() {
        let (wanted, used) = (wanted.display(), data.path().display());
        tracing::warn!(%wanted, %used, "PostgreSQL's account cannot reach the data directory, so another one is used");
    }
    Ok(data)
}

/// A private NATS, or none: the service does without it.
async fn start_nats(data: &DataDir) -> Option<Nats> {
    match tokio::time::timeout(NATS_WITHIN, Nats::start(data)).await {
        Ok(Ok(nats)) => return Some(nats),
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the private nats-server did not start; going on without it");
        }
        Err(_) => tracing::warn!("the private nats-server did not start in time; going on without it"),
    }
    None
}
