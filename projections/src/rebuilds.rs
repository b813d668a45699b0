//! The record of rebuilds: which one is under way, how far it is, and how the earlier ones ended.
//!
//! A rebuild is a row here, not a task: whichever process works on it holds an advisory lock, and when that process
//! dies, another finds the row unfinished and goes on with the ranges that are not yet filled in.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

use crate::Projection;
use crate::shadow::Contents;

/// Where a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Phase {
    /// For a process to take it up, and for the log to settle.
    Waiting,
    /// Folding the log into new tables.
    Filling,
    /// Counting, and comparing checksums.
    Checking,
    /// Making indexes and statistics.
    Indexing,
    /// Applying what was appended meanwhile.
    CatchingUp,
    /// Putting the new tables in place.
    Swapping,
    /// The new tables serve.
    Done,
    /// It ended with an error; the old tables serve.
    Failed,
    /// Somebody stopped it; the old tables serve.
    Cancelled,
}

/// A rebuild as it stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Rebuild {
    /// Its number.
    pub rebuild_id: i64,
    /// Of which read models, by name.
    pub projections: Vec<String>,
    /// Where it is.
    pub phase: Phase,
    /// The versions of the folds that fill it in, in the order of its projections.
    pub versions: Option<Vec<i16>>,
    /// Where the log was settled when filling began; bulk ends there.
    pub up_to: Option<i64>,
    /// Events folded so far.
    pub events: i64,
    /// Events there are up to `up_to`.
    pub events_total: Option<i64>,
    /// How fast they are folded.
    pub events_per_second: i32,
    /// Which process works on it.
    pub process: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it last made progress.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Rebuild {
    /// Of which read models. Those that this build does not know are left out.
    #[must_use]
    pub fn known_projections(&self) -> Vec<Projection> {
        self.projections.iter().filter_map(|name| Projection::from_name(name)).collect()
    }

    /// Seconds until the bulk is filled in, at the present rate.
    #[must_use]
    pub fn seconds_left(&self) -> Option<i64> {
        let left = self.events_total?.checked_sub(self.events)?;
        (self.phase == Phase::Filling && self.events_per_second > 0).then(|| left / i64::from(self.events_per_second))
    }
}

const COLUMNS: &str =
    "rebuild_id, projections, phase, versions, up_to, events, events_total, events_per_second, process, error,
                       cancel_requested, requested_at, updated_at, finished_at";

/// Asks for a rebuild; `None` when one is under way already.
///
/// # Errors
/// When the database does not answer.
pub async fn request(
    executor: impl PgExecutor<'_>,
    projections: &[Projection],
) -> Result<Option<Rebuild>, sqlx::Error> {
    let names: Vec<&str> = projections.iter().map(|projection| projection.name()).collect();
    let sql = format!(
        "insert into read_models.rebuilds (projections) values ($1) on conflict do nothing returning {COLUMNS}"
    );
    sqlx::query_as(&sql).bind(names).fetch_optional(executor).await
}

/// The rebuild that has not ended, if there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn unfinished(executor: impl PgExecutor<'_>) -> Result<Option<Rebuild>, sqlx::Error> {
    let sql = format!("select {COLUMNS} from read_models.rebuilds where finished_at is null");
    sqlx::query_as(&sql).fetch_optional(executor).await
}

/// A rebuild by its number.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, rebuild_id: i64) -> Result<Option<Rebuild>, sqlx::Error> {
    let sql = format!("select {COLUMNS} from read_models.rebuilds where rebuild_id = $1");
    sqlx::query_as(&sql).bind(rebuild_id).fetch_optional(executor).await
}

/// The latest rebuild that a read model was part of.
///
/// # Errors
/// When the database does not answer.
pub async fn latest(executor: impl PgExecutor<'_>, projection: Projection) -> Result<Option<Rebuild>, sqlx::Error> {
    let sql = format!(
        "select {COLUMNS} from read_models.rebuilds where projections @> array[$1] order by rebuild_id desc limit 1"
    );
    sqlx::query_as(&sql).bind(projection.name()).fetch_optional(executor).await
}

/// Asks to stop the rebuild under way; answers it, `None` when there is none of that read model.
///
/// # Errors
/// When the database does not answer.
pub async fn cancel(executor: impl PgExecutor<'_>, projection: Projection) -> Result<Option<Rebuild>, sqlx::Error> {
    let sql = format!(
        "update read_models.rebuilds set cancel_requested = true
         where finished_at is null and projections @> array[$1] returning {COLUMNS}"
    );
    sqlx::query_as(&sql).bind(projection.name()).fetch_optional(executor).await
}

/// A process begins, or goes on, to work on it. Answers how often one did since it last made progress, and whether
/// somebody asked to stop; `None` when it has ended. What another one is about to fill in is waited for. The note outlives
/// a crash of the database.
///
/// # Errors
/// When the database does not answer.
pub async fn take_up(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    process: &str,
) -> Result<Option<(i16, bool)>, sqlx::Error> {
    sqlx::query_as(
        "with held as (select rebuild_id from read_models.rebuilds where rebuild_id = $1 for update)
         update read_models.rebuilds set process = $2, take_ups = take_ups + 1, updated_at = now()
         from held where held.rebuild_id = rebuilds.rebuild_id and finished_at is null
           and (select set_config('synchronous_commit', 'on', true)) is not null
         returning take_ups, cancel_requested",
    )
    .bind(rebuild_id)
    .bind(process)
    .fetch_optional(executor)
    .await
}

/// A process leaves it to others, for a reason that does not lie in the rebuild.
///
/// # Errors
/// When the database does not answer.
pub async fn put_down(executor: impl PgExecutor<'_>, rebuild_id: i64) -> Result<(), sqlx::Error> {
    sqlx::query("update read_models.rebuilds set take_ups = greatest(take_ups - 1, 0) where rebuild_id = $1")
        .bind(rebuild_id)
        .execute(executor)
        .await?;
    Ok(())
}

/// Which folds fill it in.
///
/// # Errors
/// When the database does not answer.
pub async fn note_versions(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    projections: &[Projection],
) -> Result<(), sqlx::Error> {
    sqlx::query("update read_models.rebuilds set versions = $2 where rebuild_id = $1")
        .bind(rebuild_id)
        .bind(projections.iter().map(|projection| projection.version()).collect::<Vec<_>>())
        .execute(executor)
        .await?;
    Ok(())
}

/// Filling begins: where it will end, and how many events there are until then.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_filling(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    up_to: i64,
    events: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update read_models.rebuilds
         set phase = 'filling', up_to = $2, events = 0, events_total = $3, updated_at = now()
         where rebuild_id = $1",
    )
    .bind(rebuild_id)
    .bind(up_to)
    .bind(events)
    .execute(executor)
    .await?;
    Ok(())
}

/// How far filling is; answers whether somebody asked to stop, `None` when it has ended.
///
/// # Errors
/// When the database does not answer.
pub async fn report(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    events: i64,
    events_per_second: i32,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar(
        "update read_models.rebuilds
         set take_ups = case when $2 > events then 0 else take_ups end,
             events = $2, events_per_second = $3, updated_at = now()
         where rebuild_id = $1 and finished_at is null returning cancel_requested",
    )
    .bind(rebuild_id)
    .bind(events)
    .bind(events_per_second)
    .fetch_optional(executor)
    .await
}

/// It enters another phase; ended, it is finished. Answers whether somebody asked to stop, `None` when it had ended
/// before.
///
/// # Errors
/// When the database does not answer.
pub async fn enter(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    phase: Phase,
    error: Option<&str>,
) -> Result<Option<bool>, sqlx::Error> {
    let ends = matches!(phase, Phase::Done | Phase::Failed | Phase::Cancelled);
    sqlx::query_scalar(
        "update read_models.rebuilds
         set phase = $2, error = $3, take_ups = 0, updated_at = now(), finished_at = case when $4 then now() end
         where rebuild_id = $1 and finished_at is null returning cancel_requested",
    )
    .bind(rebuild_id)
    .bind(phase)
    .bind(error)
    .bind(ends)
    .fetch_optional(executor)
    .await
}

/// A stretch of customers: those with an id over `after` and up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Range {
    /// Above this id.
    #[sqlx(rename = "after_customer")]
    pub after: i64,
    /// Up to this id.
    #[sqlx(rename = "to_customer")]
    pub to: i64,
}

/// Whether that process still works on it; nobody else takes it up until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn is_with(transaction: &mut PgConnection, rebuild_id: i64, process: &str) -> Result<bool, sqlx::Error> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from read_models.rebuilds
         where rebuild_id = $1 and process = $2 and finished_at is null
         for key share",
    )
    .bind(rebuild_id)
    .bind(process)
    .fetch_optional(transaction)
    .await?;
    Ok(found.is_some())
}

/// A range is filled in; in the transaction of its rows.
///
/// # Errors
/// When the database does not answer.
pub async fn filled(
    transaction: &mut PgConnection,
    rebuild_id: i64,
    range: Range,
    events: i64,
    contents: &[Contents],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into read_models.rebuild_ranges (rebuild_id, after_customer, to_customer, events, rows, checksums)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(rebuild_id)
    .bind(range.after)
    .bind(range.to)
    .bind(events)
    .bind(contents.iter().map(|contents| contents.rows).collect::<Vec<_>>())
    .bind(contents.iter().map(|contents| contents.checksum).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}

/// The ranges that are filled in, in order of customers.
///
/// # Errors
/// When the database does not answer.
pub async fn filled_ranges(executor: impl PgExecutor<'_>, rebuild_id: i64) -> Result<Vec<Range>, sqlx::Error> {
    sqlx::query_as(
        "select after_customer, to_customer from read_models.rebuild_ranges where rebuild_id = $1 order by 1",
    )
    .bind(rebuild_id)
    .fetch_all(executor)
    .await
}

/// How many events the filled ranges folded, and what they made of them, by projection.
///
/// # Errors
/// When the database does not answer.
pub async fn filled_in_all(
    executor: impl PgExecutor<'_>,
    rebuild_id: i64,
    projections: usize,
) -> Result<(i64, Vec<Contents>), sqlx::Error> {
    let rows: Vec<(i64, Vec<i64>, Vec<i64>)> =
        sqlx::query_as("select events, rows, checksums from read_models.rebuild_ranges where rebuild_id = $1")
            .bind(rebuild_id)
            .fetch_all(executor)
            .await?;
    let mut events = 0;
    let mut contents = vec![Contents::default(); projections];
    for (folded, rows, checksums) in rows {
        events += folded;
        for (sum, (rows, checksum)) in contents.iter_mut().zip(rows.into_iter().zip(checksums)) {
            *sum = sum.plus(Contents { rows, checksum });
        }
    }
    Ok((events, contents))
}

/// Forgets the ranges of a rebuild that has ended.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_ranges(executor: impl PgExecutor<'_>, rebuild_id: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from read_models.rebuild_ranges where rebuild_id = $1")
        .bind(rebuild_id)
        .execute(executor)
        .await?;
    Ok(())
}
