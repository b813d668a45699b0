//! Removing what has done its duty: uploads that were left unfinished, and imports that ended long ago.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::upload::UPLOAD_WITHIN;

const EVERY: Duration = Duration::from_secs(60);
/// An upload that is older was left behind by a process that ended.
const UNFINISHED_SECONDS: u64 = UPLOAD_WITHIN.as_secs() + 60;
/// So many ended imports are kept, however young they are.
const KEPT: i64 = 1000;
const BATCH_IMPORTS: i64 = 10;
const BATCH_NOTICES: i64 = 10_000;
/// The advisory lock, class and number, of the one process that is at it.
const LOCK: (i32, i32) = (0x4349, 2);

/// Removes it again and again, until stopped; ended imports are kept for so many days.
pub async fn keep_tidy(log: PgPool, keep_days: u16, stop: CancellationToken) {
    let tidying = async {
        loop {
            if let Err(error) = tidy(&log, keep_days).await {
                tracing::warn!(%error, "old imports could not be removed; it is tried again later");
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    stop.run_until_cancelled(tidying).await;
}

/// Removes all that there is to be removed; ended imports are kept for so many days.
///
/// # Errors
/// When the database does not answer.
pub async fn tidy(log: &PgPool, keep_days: u16) -> Result<(), sqlx::Error> {
    while tidy_some(log, keep_days).await? {}
    Ok(())
}

/// Removes some; `false` once there is no more, or another process is at it.
async fn tidy_some(log: &PgPool, keep_days: u16) -> Result<bool, sqlx::Error> {
    let mut transaction = log.begin().await?;
    let (class, number) = LOCK;
    let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1, $2)")
        .bind(class)
        .bind(number)
        .fetch_one(&mut *transaction)
        .await?;
    if !is_ours {
        return Ok(false);
    }
    sqlx::query(
        "delete from imports
         where state = 'uploading' and created_at < clock_timestamp() - make_interval(secs => $1)",
    )
    .bind(i32::try_from(UNFINISHED_SECONDS).unwrap_or(i32::MAX))
    .execute(&mut *transaction)
    .await?;
    let removed = remove_some(&mut transaction, keep_days).await?;
    transaction.commit().await?;
    Ok(removed)
}

/// Notices first, for there may be millions of them.
async fn remove_some(connection: &mut PgConnection, keep_days: u16) -> Result<bool, sqlx::Error> {
    let old: Vec<i64> = sqlx::query_scalar(
        "(select id from imports where ended_at < clock_timestamp() - make_interval(days => $1)
          order by ended_at limit $2)
         union
         (select id from imports where ended_at is not null order by ended_at desc offset $3 limit $2)",
    )
    .bind(i32::from(keep_days))
    .bind(BATCH_IMPORTS)
    .bind(KEPT)
    .fetch_all(&mut *connection)
    .await?;
    if old.is_empty() {
        return Ok(false);
    }
    let notices = sqlx::query(
        "delete from import_notices where ctid = any (array(
             select ctid from import_notices where import_id = any($1) limit $2))",
    )
    .bind(&old)
    .bind(BATCH_NOTICES)
    .execute(&mut *connection)
    .await?;
    if notices.rows_affected() == 0 {
        sqlx::query("delete from imports where id = any($1)").bind(&old).execute(&mut *connection).await?;
    }
    Ok(true)
}
