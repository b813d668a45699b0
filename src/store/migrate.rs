//! The two schemas: the log's and the read models'. They may live in one database or in two.

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

/// The log's.
pub(crate) static LOG: Migrator = sqlx::migrate!("migrations/log");
/// The read models'.
pub(crate) static READ_MODELS: Migrator = sqlx::migrate!("migrations/read");

/// Brings both schemas up to date. Safe to run from several processes at once: each migrator takes a lock.
///
/// # Errors
/// When a migration fails; it is rolled back.
pub async fn migrate(log: &PgPool, read_models: &PgPool) -> Result<(), MigrateError> {
    run(&LOG, log).await?;
    run(&READ_MODELS, read_models).await
}

async fn run(migrator: &Migrator, pool: &PgPool) -> Result<(), MigrateError> {
    // Both keep their history in one table when they share a database, so each must overlook the other's entries.
    let migrator = Migrator { migrations: migrator.migrations.clone(), ignore_missing: true, ..Migrator::DEFAULT };
    migrator.run(pool).await
}
