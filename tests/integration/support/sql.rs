//! Looking into the databases, and meddling with them.

use sqlx::{PgExecutor, PgPool};

/// Runs any number of statements.
pub(crate) async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The one number that a query answers.
pub(crate) async fn number(executor: impl PgExecutor<'_>, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(executor).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// How many rows there are: of a table, or of what else stands behind `from`.
pub(crate) async fn count(executor: impl PgExecutor<'_>, from: &str) -> i64 {
    number(executor, &format!("select count(*) from {from}")).await
}
