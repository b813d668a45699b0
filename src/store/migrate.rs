//! The two schemas: the log's and the read models'. They may live in one database or in two.
//!
//! Migrations run while other processes, of this version and of the one before, serve from the same tables. So only one
//! process migrates, a process that finds nothing to do takes no lock at all, and none queues up behind a long
//! transaction for longer than a moment: whoever waits for a table's lock holds up everybody who comes after.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, PgPool};

use crate::starting::pause;

/// The log's.
pub(crate) static LOG: Migrator = sqlx::migrate!("migrations/log");
/// The read models'.
pub(crate) static READ_MODELS: Migrator = sqlx::migrate!("migrations/read");

/// PostgreSQL's codes for a lock that could not be had in time, and for one that two waited for crosswise.
const NOT_NOW: [&str; 2] = ["55P03", "40P01"];
/// How long a table's lock is waited for at a time.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the migrators' own lock is: an index that is built concurrently waits for every statement that was there
/// before it, and would wait for one that waits for this lock until PostgreSQL calls it a deadlock.
const TRY_LOCK: Duration = Duration::from_millis(10);
/// How often a migration is tried against those who hold its tables: minutes, all in all.
const MAX_ATTEMPTS: u32 = 120;
/// A word about waiting is said once in so many attempts.
const TELL_EVERY: u32 = 10;

/// One of the two schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Of the event log and what goes with it.
    Log,
    /// Of the read models.
    ReadModels,
}

impl Schema {
    const fn migrator(self) -> &'static Migrator {
        match self {
            Self::Log => &LOG,
            Self::ReadModels => &READ_MODELS,
        }
    }
}

/// Brings both schemas up to date. Safe to run from several processes at once.
///
/// # Errors
/// When a migration fails; it is rolled back.
pub async fn migrate(log: &PgPool, read_models: &PgPool) -> Result<(), MigrateError> {
    bring_up_to_date(&LOG, log).await?;
    bring_up_to_date(&READ_MODELS, read_models).await
}

/// The migrations that this version needs and the database lacks. Those of a newer version are none of its business.
///
/// # Errors
/// When the database does not answer, or holds one that reads otherwise in this version.
pub async fn missing(connection: &mut PgConnection, schema: Schema) -> Result<Vec<i64>, MigrateError> {
    let missing = pending(schema.migrator(), connection).await?;
    Ok(missing.iter().map(|migration| migration.version).collect())
}

/// Runs what a database lacks of some migrations, unless another process does; then it waits for that.
///
/// # Errors
/// When a migration fails, or cannot have its locks for minutes; it is rolled back.
pub async fn bring_up_to_date(migrator: &Migrator, pool: &PgPool) -> Result<(), MigrateError> {
    // Not one of the pool's: what is set on it is for migrations alone.
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    if !pending(migrator, &mut connection).await?.is_empty() {
        connection.execute("set statement_timeout = 0").await?;
        connection.execute("set idle_in_transaction_session_timeout = 0").await?;
        limit_waiting(&mut connection, TRY_LOCK).await?;
        until_locked(&mut connection).await?;
        for migration in pending(migrator, &mut connection).await? {
            run(migration, &mut connection).await?;
        }
    }
    // With the connection goes the lock.
    Ok(connection.close().await?)
}

/// What is not applied yet. Both schemas keep their history in one table when they share a database, so each overlooks
/// the other's entries.
async fn pending<'a>(
    migrator: &'a Migrator,
    connection: &mut PgConnection,
) -> Result<Vec<&'a Migration>, MigrateError> {
    let has_history: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *connection).await?;
    let applied = if has_history { connection.list_applied_migrations().await? } else { Vec::new() };
    let applied: HashMap<_, _> = applied.into_iter().map(|applied| (applied.version, applied.checksum)).collect();
    let mut pending = Vec::new();
    for migration in migrator.iter() {
        match applied.get(&migration.version) {
            Some(checksum) if *checksum != migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version));
            }
            Some(_) => {}
            None => pending.push(migration),
        }
    }
    Ok(pending)
}

/// Locks the database against other migrators, those of other versions among them.
async fn until_locked(connection: &mut PgConnection) -> Result<(), MigrateError> {
    for attempt in 0_u32.. {
        match connection.lock().await {
            Err(error) if is_not_now(&error) => {}
            outcome => return outcome,
        }
        if attempt.is_multiple_of(TELL_EVERY) {
            tracing::info!("another process brings the schema up to date; waiting for it");
        }
        tokio::time::sleep(pause()).await;
    }
    Ok(())
}

async fn run(migration: &Migration, connection: &mut PgConnection) -> Result<(), MigrateError> {
    // An index that is built concurrently waits for old transactions, and holds up nobody meanwhile.
    let waits = if migration.no_tx { Duration::ZERO } else { LOCK_TIMEOUT };
    limit_waiting(connection, waits).await?;
    let alone = Migrator {
        migrations: vec![migration.clone()].into(),
        ignore_missing: true,
        locking: false,
        ..Migrator::DEFAULT
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        match alone.run_direct(connection).await {
            // What ran outside a transaction may have left something behind, and is for somebody to look at.
            Err(error) if is_not_now(&error) && !migration.no_tx && attempt < MAX_ATTEMPTS => {
                if attempt % TELL_EVERY == 1 {
                    let version = migration.version;
                    tracing::warn!(version, attempt, "a migration waits for a table that is in use; trying again");
                }
                tokio::time::sleep(pause()).await;
            }
            outcome => return outcome,
        }
    }
}

/// How long a lock is waited for from now on; without an end when that is nothing.
async fn limit_waiting(connection: &mut PgConnection, at_most: Duration) -> Result<(), MigrateError> {
    let milliseconds = at_most.as_millis().to_string();
    sqlx::query("select set_config('lock_timeout', $1, false)").bind(milliseconds).execute(connection).await?;
    Ok(())
}

fn is_not_now(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    code.is_some_and(|code| NOT_NOW.contains(&code.as_ref()))
}
