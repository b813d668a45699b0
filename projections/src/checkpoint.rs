//! How far a read model has applied a partition of the log. Position 0 is before the first event.
//!
//! A checkpoint's row is also its partition's lock: whoever moves it, parks or redrives a customer, or swaps a rebuilt
//! table in, holds it until the transaction ends. Two workers can never both apply the same events.

use sqlx::{PgConnection, PgExecutor};

use crate::{Partition, Projection, Target};

/// A checkpoint as it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Checkpoint {
    /// The last event that was applied, or passed over because its customer is parked.
    pub position: i64,
    /// By which version of its fold the read model was made.
    pub version: i16,
    /// How many customers of the partition are parked.
    pub parked: i32,
    /// How often a worker began on the next events without coming to their end.
    pub attempts: i16,
    /// The event at which the last of these attempts was seen to fail.
    pub suspect: Option<i64>,
}

const COLUMNS: &str = "position, version, parked, attempts, suspect";

/// The checkpoint; one at position 0 when there is none yet.
///
/// # Errors
/// When the database does not answer.
pub async fn load(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
) -> Result<Checkpoint, sqlx::Error> {
    let sql = format!("select {COLUMNS} from read_models.checkpoints where projection = $1 and partition = $2");
    let found =
        sqlx::query_as(&sql).bind(target.name()).bind(i16::from(partition.number())).fetch_optional(executor).await?;
    Ok(found.unwrap_or(Checkpoint { version: target.projection().version(), ..Checkpoint::default() }))
}

/// The checkpoint, and nobody else moves it until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(
    transaction: &mut PgConnection,
    target: Target,
    partition: Partition,
) -> Result<Checkpoint, sqlx::Error> {
    // Where there is none yet, one at 0 is there to be locked.
    sqlx::query(
        "insert into read_models.checkpoints (projection, partition, position, version) values ($1, $2, 0, $3)
         on conflict do nothing",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(target.projection().version())
    .execute(&mut *transaction)
    .await?;
    let sql =
        format!("select {COLUMNS} from read_models.checkpoints where projection = $1 and partition = $2 for update");
    sqlx::query_as(&sql).bind(target.name()).bind(i16::from(partition.number())).fetch_one(transaction).await
}

/// Every live read model's checkpoints.
///
/// # Errors
/// When the database does not answer.
pub async fn load_all(executor: impl PgExecutor<'_>) -> Result<Vec<(Projection, Partition, Checkpoint)>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Row {
        projection: String,
        partition: i16,
        #[sqlx(flatten)]
        checkpoint: Checkpoint,
    }
    let sql = format!("select projection, partition, {COLUMNS} from read_models.checkpoints");
    let rows: Vec<Row> = sqlx::query_as(&sql).fetch_all(executor).await?;
    let known = rows.into_iter().filter_map(|row| {
        let projection = Projection::from_name(&row.projection)?;
        let partition = Partition::from_number(u8::try_from(row.partition).ok()?)?;
        Some((projection, partition, row.checkpoint))
    });
    Ok(known.collect())
}

/// Moves the checkpoint, if it still stands where the caller believes and no newer version of the product has taken
/// the read model over. Answers how many customers of the partition are parked; `None` when it did not move. The
/// row's lock is held until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn advance(
    transaction: &mut PgConnection,
    target: Target,
    partition: Partition,
    from: i64,
    to: i64,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into read_models.checkpoints as held (projection, partition, position, version)
         select $1, $2, $4, $5 where $3 = 0 or exists
             (select from read_models.checkpoints where projection = $1 and partition = $2)
         on conflict (projection, partition) do update
             set position = excluded.position, updated_at = now(), attempts = 0, suspect = null
             where held.position = $3 and held.version <= $5
         returning parked",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(from)
    .bind(to)
    .bind(target.projection().version())
    .fetch_optional(transaction)
    .await
}

/// Notes that a worker begins on the events after `position`; answers how often that was so since the checkpoint last
/// moved. A worker that never comes to the end of them, with its process or without, is found out by this.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_attempt(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
    position: i64,
) -> Result<i16, sqlx::Error> {
    let attempts = sqlx::query_scalar(
        "insert into read_models.checkpoints as held (projection, partition, position, version, attempts)
         values ($1, $2, 0, $4, 1)
         on conflict (projection, partition) do update
             set attempts = held.attempts + case when held.suspect is null then 1 else 0 end
             where held.position = $3
         returning attempts",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(position)
    .bind(target.projection().version())
    .fetch_optional(executor)
    .await?;
    Ok(attempts.unwrap_or(0))
}

/// Notes that the event at `suspect` is about to be applied alone; answers how often that was so.
///
/// # Errors
/// When the database does not answer.
pub async fn suspect(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
    suspect: i64,
) -> Result<i16, sqlx::Error> {
    let attempts = sqlx::query_scalar(
        "update read_models.checkpoints
         set attempts = attempts + case when suspect = $3 then 1 else 0 end, suspect = $3
         where projection = $1 and partition = $2
         returning attempts",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(suspect)
    .fetch_optional(executor)
    .await?;
    Ok(attempts.unwrap_or(0))
}
