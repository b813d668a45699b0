//! What requests with an idempotency key were answered: looked up and purged here, written by [`super::append`] in
//! the statement of the events that they led to.
//!
//! A row holds a whole answer, a customer's name and number among it, so it goes as soon as it has done its duty.

use std::time::Duration;

use projections::Partition;
use sqlx::{FromRow, PgExecutor, PgPool};
use tokio_util::sync::CancellationToken;

/// An hour more than is promised, for clients whose clocks are off.
const KEPT_HOURS: i32 = 25;
const PURGE_EVERY: Duration = Duration::from_secs(5 * 60);
const PURGE_BATCH_ROWS: u32 = 1000;

/// The advisory lock, class and number, of the one process that purges at a time.
pub const PURGE_LOCK: (i32, i32) = (0x4349, 1);

/// An answer that is to be remembered, under the key of its request.
#[derive(Debug, Clone)]
pub struct KeyedAnswer {
    /// The request's key, unlike any other caller's.
    pub key: String,
    /// Who sent it, by name.
    pub caller: String,
    /// What tells the request from another one under the same key.
    pub request_digest: Vec<u8>,
    /// 200 to 299: nothing else is remembered.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// The revision of what was changed, after it, where the answer says one.
    pub revision: Option<u32>,
    /// Of the request's events.
    pub partition: Partition,
}

/// An answer that was remembered.
#[derive(Debug)]
pub struct Remembered {
    /// What tells its request from another one under the same key.
    pub request_digest: Vec<u8>,
    /// 200 to 299.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// The revision of what was changed, after it, where the answer said one.
    pub revision: Option<u32>,
    /// Of the request's events.
    pub partition: Partition,
    /// Of the last of them.
    pub position: i64,
}

#[derive(FromRow)]
struct Row {
    request_digest: Vec<u8>,
    status: i16,
    answer: String,
    revision: Option<i64>,
    partition: i16,
    position: i64,
}

impl TryFrom<Row> for Remembered {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let status = u16::try_from(row.status).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let partition = u8::try_from(row.partition).ok().and_then(Partition::from_number);
        let partition = partition.ok_or_else(|| sqlx::Error::Decode("there is no such partition".into()))?;
        let revision = row.revision.map(u32::try_from).transpose();
        let revision = revision.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let Row { request_digest, answer: body, position, .. } = row;
        Ok(Self { request_digest, status, body, revision, partition, position })
    }
}

/// What was answered to a request with that key, if one took effect: as it is stored; or as it was sent, in a row from
/// before callers were told apart.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, stored: &str, sent: &str) -> Result<Option<Remembered>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "select request_digest, status, answer, revision, partition, position
         from idempotency_keys where idempotency_key = $1 or (idempotency_key = $2 and caller is null)
         order by caller nulls last limit 1",
    )
    .bind(stored)
    .bind(sent)
    .fetch_optional(executor)
    .await?;
    row.map(Remembered::try_from).transpose()
}

/// Purges what is old, again and again, until stopped.
pub async fn keep_purged(pool: PgPool, stop: CancellationToken) {
    let purging = async {
        loop {
            if let Err(error) = purge(&pool).await {
                tracing::warn!(%error, "old idempotency keys could not be purged; it is tried again later");
            }
            tokio::time::sleep(PURGE_EVERY).await;
        }
    };
    stop.run_until_cancelled(purging).await;
}

async fn purge(pool: &PgPool) -> Result<(), sqlx::Error> {
    while purge_batch(pool).await? == u64::from(PURGE_BATCH_ROWS) {}
    Ok(())
}

/// Deletes the oldest of what is old enough; answers how many that were. Fewer than a batch mean that no more is, or
/// that another process is at it.
///
/// # Errors
/// When the database does not answer.
pub async fn purge_batch(pool: &PgPool) -> Result<u64, sqlx::Error> {
    // By the rows' places, since a join by key would read the whole table. The lock ends with the statement.
    let (class, number) = PURGE_LOCK;
    let purged = sqlx::query(
        "delete from idempotency_keys
         where (select pg_try_advisory_xact_lock($1, $2))
           and ctid = any (array(
               select ctid from idempotency_keys
               where created_at < now() - make_interval(hours => $3) order by created_at limit $4))",
    )
    .bind(class)
    .bind(number)
    .bind(KEPT_HOURS)
    .bind(i64::from(PURGE_BATCH_ROWS))
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}
