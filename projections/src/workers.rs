//! Who works on which partition, and when it last showed that it is alive.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{Partition, Projection};

/// What a process says of one of its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Of which read model.
    pub projection: Projection,
    /// On which partition.
    pub partition: Partition,
    /// How long ago the worker was last seen to go round.
    pub age: Duration,
    /// Events applied a second, of late.
    pub events_per_second: i32,
}

/// A worker as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Heard {
    /// Of which read model.
    pub projection: String,
    /// On which partition.
    pub partition: i16,
    /// In which process.
    pub process: String,
    /// Milliseconds since it was last seen to go round, by the database's clock.
    pub age_milliseconds: i64,
    /// Events applied a second, of late.
    pub events_per_second: i32,
}

/// Writes the heartbeats of a process's workers, in one statement.
///
/// # Errors
/// When the database does not answer.
pub async fn beat(executor: impl PgExecutor<'_>, process: &str, beats: &[Beat]) -> Result<(), sqlx::Error> {
    let milliseconds = |age: Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    sqlx::query(
        "insert into read_models.workers (projection, partition, process, heartbeat_at, events_per_second)
         select projection, partition, $1, now() - age * interval '1 millisecond', rate
         from unnest($2::text[], $3::smallint[], $4::bigint[], $5::int[]) as beat (projection, partition, age, rate)
         on conflict (projection, partition) do update
             set process = excluded.process, heartbeat_at = excluded.heartbeat_at,
                 events_per_second = excluded.events_per_second",
    )
    .bind(process)
    .bind(beats.iter().map(|beat| beat.projection.name()).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| i16::from(beat.partition.number())).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| milliseconds(beat.age)).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.events_per_second).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(())
}

/// Every worker that was ever heard of.
///
/// # Errors
/// When the database does not answer.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Heard>, sqlx::Error> {
    sqlx::query_as(
        "select projection, partition, process, events_per_second,
                (extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::bigint as age_milliseconds
         from read_models.workers",
    )
    .fetch_all(executor)
    .await
}
