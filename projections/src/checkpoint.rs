//! How far a read model has applied a partition of the log. Position 0 is before the first event.
//!
//! A checkpoint's row is also its partition's lock: whoever moves it, parks or redrives a customer, or swaps a rebuilt
//! table in, holds it until the transaction ends. Two workers can never both apply the same events.

use sqlx::{PgConnection, PgExecutor};

use crate::{Partition, Projection, Target};

/// The version of a read model that a migration has added to a log that was there before it: it follows the log from
/// where the others stood then, and what came before is filled in by its first rebuild, which starts by itself. Until
/// that serves, it can answer nothing.
pub const UNFILLED: i16 = 0;

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

/// The checkpoint, and nobody else moves it until the transaction ends. Its row is another one afterwards ([`Stamp`]):
/// what was read under it before this is not to be relied on.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(
    transaction: &mut PgConnection,
    target: Target,
    partition: Partition,
) -> Result<Checkpoint, sqlx::Error> {
    // Where there is none yet, one at 0 is there to be locked.
    let sql = format!(
        "insert into read_models.checkpoints as held (projection, partition, position, version) values ($1, $2, 0, $3)
         on conflict (projection, partition) do update set position = held.position
         returning {COLUMNS}"
    );
    sqlx::query_as(&sql)
        .bind(target.name())
        .bind(i16::from(partition.number()))
        .bind(target.projection().version())
        .fetch_one(transaction)
        .await
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

/// Whether queries can be answered from a read model: not between a migration that adds it, or columns that are read, and
/// the rebuild that fills them in. Once they can, they can for good.
///
/// # Errors
/// When the database does not answer.
pub async fn is_filled(executor: impl PgExecutor<'_>, projection: Projection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select not exists (select from read_models.checkpoints where projection = $1 and version < $2)")
        .bind(projection.name())
        .bind(projection.answers_since())
        .fetch_one(executor)
        .await
}

/// Which version of its row a checkpoint is. Whoever moves it, locks it, parks or redrives a customer or swaps a table in
/// makes another: while it is the same, nobody has written to the partition's rows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Stamp(String);

/// A checkpoint that was moved.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Moved {
    /// How many customers of the partition are parked.
    pub parked: i32,
    /// Its row as it is now.
    pub stamp: Stamp,
}

/// Moves the checkpoint, if it still stands where the caller believes and no newer version of the product has taken
/// the read model over; `None` when it did not move. The row's lock is held until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn advance(
    transaction: &mut PgConnection,
    target: Target,
    partition: Partition,
    from: i64,
    to: i64,
) -> Result<Option<Moved>, sqlx::Error> {
    sqlx::query_as(
        "insert into read_models.checkpoints as held (projection, partition, position, version)
         select $1, $2, $4, $5 where $3 = 0 or exists
             (select from read_models.checkpoints where projection = $1 and partition = $2)
         on conflict (projection, partition) do update
             set position = excluded.position, updated_at = now(), attempts = 0, suspect = null
             where held.position = $3 and held.version <= $5
         returning parked, xmin::text as stamp",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(from)
    .bind(to)
    .bind(target.projection().version())
    .fetch_optional(transaction)
    .await
}

/// Checkpoints to be moved together: the values of [`MOVE_STAMPED`].
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) projections: Vec<&'static str>,
    pub(crate) partitions: Vec<i16>,
    pub(crate) from: Vec<i64>,
    pub(crate) to: Vec<i64>,
    pub(crate) stamps: Vec<Stamp>,
}

impl Moves {
    pub(crate) fn extend(&mut self, other: Self) {
        self.projections.extend(other.projections);
        self.partitions.extend(other.partitions);
        self.from.extend(other.from);
        self.to.extend(other.to);
        self.stamps.extend(other.stamps);
    }
}

/// Parts of a `with`, the last of them named `moved`: the checkpoints that are still the very rows that the caller has
/// seen, and that nobody holds, moved; with their new stamps. It waits for no checkpoint: the statement holds the read
/// models' tables from its start, and whoever holds the checkpoints to swap a rebuilt table in waits for that one.
pub(crate) const MOVE_STAMPED: &str = "locked as materialized (
    select held.projection, held.partition, asked.to_position
    from unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[])
         as asked (projection, partition, from_position, to_position, stamp)
         join read_models.checkpoints held
             on held.projection = asked.projection and held.partition = asked.partition
    where held.position = asked.from_position and held.xmin::text = asked.stamp
    for update of held skip locked
), moved as (
    update read_models.checkpoints held
    set position = locked.to_position, updated_at = now(), attempts = 0, suspect = null
    from locked where held.projection = locked.projection and held.partition = locked.partition
    returning held.projection, held.partition, held.xmin::text as stamp
)";

/// What is known of attempts that did not come to their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempts {
    /// How many, this one among them: on the suspect where there is one, else on whatever follows the checkpoint.
    pub attempts: i16,
    /// The event that was being applied alone when an attempt ended.
    pub suspect: Option<i64>,
}

/// What is noted here must outlive a crash of the database, which may well be what the next event causes. (Read models
/// commit without waiting for the disk.)
const DURABLY: &str = "(select set_config('synchronous_commit', 'on', true)) is not null";
/// Attempts are counted up to here.
const MAX_ATTEMPTS: i16 = 1000;

/// Notes that a worker begins on the events after `position`. Whoever never comes to their end, with its process or
/// without, is found out by this.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_attempt(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
    position: i64,
) -> Result<Attempts, sqlx::Error> {
    let sql = format!(
        "insert into read_models.checkpoints as held (projection, partition, position, version, attempts)
         select $1, $2, 0, $4, 1 where {DURABLY}
         on conflict (projection, partition) do update
             set attempts = least(held.attempts + case when held.suspect is null then 1 else 0 end, $5)
             where held.position = $3
         returning attempts, suspect"
    );
    let attempts = sqlx::query_as(&sql)
        .bind(target.name())
        .bind(i16::from(partition.number()))
        .bind(position)
        .bind(target.projection().version())
        .bind(MAX_ATTEMPTS)
        .fetch_optional(executor)
        .await?;
    Ok(attempts.unwrap_or_default())
}

/// Notes that the first event after `position`, at `suspect`, is about to be applied alone.
///
/// # Errors
/// When the database does not answer.
pub async fn suspect(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
    position: i64,
    suspect: i64,
) -> Result<Attempts, sqlx::Error> {
    let sql = format!(
        "update read_models.checkpoints
         set attempts = case when suspect = $4 then least(attempts + 1, $5) else 1 end, suspect = $4
         where projection = $1 and partition = $2 and position = $3 and {DURABLY}
         returning attempts, suspect"
    );
    let attempts = sqlx::query_as(&sql)
        .bind(target.name())
        .bind(i16::from(partition.number()))
        .bind(position)
        .bind(suspect)
        .bind(MAX_ATTEMPTS)
        .fetch_optional(executor)
        .await?;
    Ok(attempts.unwrap_or_default())
}

/// Takes a note back: the attempt ended for a reason that is known and lies in no event.
///
/// # Errors
/// When the database does not answer.
pub async fn end_attempt(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
    position: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update read_models.checkpoints
         set attempts = greatest(attempts - 1, 0), suspect = case when attempts > 1 then suspect end
         where projection = $1 and partition = $2 and position = $3",
    )
    .bind(target.name())
    .bind(i16::from(partition.number()))
    .bind(position)
    .execute(executor)
    .await?;
    Ok(())
}
