//! How far a projection has applied a partition of the log. Position 0 is before the first event.

use sqlx::{PgConnection, PgExecutor};

use crate::{Partition, Projection};

/// The position of the last event applied; 0 when none was.
///
/// # Errors
/// When the database does not answer.
pub async fn load(
    executor: impl PgExecutor<'_>,
    projection: Projection,
    partition: Partition,
) -> Result<i64, sqlx::Error> {
    let position =
        sqlx::query_scalar("select position from read_models.checkpoints where projection = $1 and partition = $2")
            .bind(projection.name())
            .bind(i16::from(partition.number()))
            .fetch_optional(executor)
            .await?;
    Ok(position.unwrap_or(0))
}

/// Every checkpoint there is.
///
/// # Errors
/// When the database does not answer.
pub async fn load_all(executor: impl PgExecutor<'_>) -> Result<Vec<(Projection, Partition, i64)>, sqlx::Error> {
    let rows: Vec<(String, i16, i64)> =
        sqlx::query_as("select projection, partition, position from read_models.checkpoints")
            .fetch_all(executor)
            .await?;
    let known = rows.into_iter().filter_map(|(name, number, position)| {
        let projection = Projection::ALL.into_iter().find(|projection| projection.name() == name)?;
        let partition = Partition::from_number(u8::try_from(number).ok()?)?;
        Some((projection, partition, position))
    });
    Ok(known.collect())
}

/// Moves the checkpoint, if it still stands where the caller believes. The row's lock is held until the transaction
/// ends, so two workers can never both have moved it: the second finds it elsewhere and gets `false`.
///
/// # Errors
/// When the database does not answer.
pub async fn advance(
    transaction: &mut PgConnection,
    projection: Projection,
    partition: Partition,
    from: i64,
    to: i64,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "insert into read_models.checkpoints as held (projection, partition, position)
         select $1, $2, $4 where $3 = 0 or exists
             (select from read_models.checkpoints where projection = $1 and partition = $2)
         on conflict (projection, partition) do update
             set position = excluded.position, updated_at = now()
             where held.position = $3",
    )
    .bind(projection.name())
    .bind(i16::from(partition.number()))
    .bind(from)
    .bind(to)
    .execute(transaction)
    .await?;
    Ok(moved.rows_affected() == 1)
}
