//! The servers that everything is measured on: a PostgreSQL that writes durably and a NATS, for this run alone.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use credit_approval::embedded::{DataDir, Nats, Postgres, Tuning};
use sqlx::{Connection, PgConnection, PgPool};

use crate::process::command;

/// The servers of this run, and a directory for its files.
pub(crate) struct World {
    directory: PathBuf,
    postgres: Postgres,
    nats: Nats,
    databases: AtomicU32,
}

impl World {
    /// # Errors
    /// When a server does not start, or is not installed.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("credit-approval-bench-{}", std::process::id()));
        let data = DataDir::claim(&directory, false).context("the directory of the servers")?;
        let postgres = Postgres::start(&data, Tuning::Durable).await.context("PostgreSQL (make setup installs it)")?;
        let nats = Nats::start(&data).await.context("nats-server (make setup installs it)")?;
        Ok(Self { directory: data.path().to_owned(), postgres, nats, databases: AtomicU32::new(0) })
    }

    /// # Errors
    /// When a server did not stop in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let nats = self.nats.stop().await;
        self.postgres.stop().await?;
        nats?;
        std::fs::remove_dir_all(&self.directory).context("the directory of the servers")
    }

    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new database with the service's schemas.
    pub(crate) async fn database(&self) -> anyhow::Result<Database> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = self.postgres.url();
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query(&format!("create database {name}")).execute(&mut connection).await?;
        connection.close().await?;
        let url = url.replace("/credit_approval?", &format!("/{name}?"));
        let migrated = command(&url).arg("migrate").output().await?;
        anyhow::ensure!(migrated.status.success(), "migrate: {}", String::from_utf8_lossy(&migrated.stderr));
        let pool = PgPool::connect(&url).await?;
        Ok(Database { name, url, pool })
    }

    /// Throws a database away, so that the next one has the disk and the memory to itself.
    pub(crate) async fn drop(&self, database: Database) -> anyhow::Result<()> {
        database.pool.close().await;
        let mut connection = PgConnection::connect(&self.postgres.url()).await?;
        sqlx::query(&format!("drop database {} with (force)", database.name)).execute(&mut connection).await?;
        Ok(())
    }

    /// What the figures are of: PostgreSQL, cores, build.
    pub(crate) async fn versions(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.postgres.url()).await?;
        let postgres: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await?;
        let cores = std::thread::available_parallelism()?;
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        Ok(format!("PostgreSQL {postgres}, {cores} cores, {system} {machine}"))
    }
}

/// A database of this run.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}
