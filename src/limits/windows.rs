//! The windows in the log's database: the one place that knows how much of a window is given.
//!
//! Statements hold rows in the order of their subjects, so that no two processes wait for each other.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

use super::Subject;

/// A window that nobody can need any more: an hour, and what clocks may be off.
const KEPT_MINUTES: i32 = 65;
const PURGE_BATCH_ROWS: i64 = 1000;

/// What is asked for: so many of a subject's quota.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) subject: Subject,
    pub(super) quota: u32,
    /// Not more than the quota.
    pub(super) tokens: u32,
}

/// What was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) subject: Subject,
    pub(super) started_at: DateTime<Utc>,
    /// As many as were asked for, or what was left.
    pub(super) tokens: u32,
    /// Of the window, to all processes.
    pub(super) granted: u32,
    /// Of the window, when the database answered.
    pub(super) left: Duration,
}

/// What was given and is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unspent {
    pub(super) started_at: DateTime<Utc>,
    pub(super) tokens: u32,
}

#[derive(FromRow)]
struct Row {
    subject: Vec<u8>,
    started_at: DateTime<Utc>,
    granted: i64,
    lease: i64,
    left_ms: i64,
}

/// Gives to each subject what it asks for, or what is left; a window that is over begins anew. No subject may be there
/// twice.
pub(super) async fn lease(pool: &PgPool, wanted: &[Wanted]) -> Result<Vec<Lease>, sqlx::Error> {
    let subjects: Vec<_> = wanted.iter().map(|wanted| wanted.subject.as_bytes()).collect();
    let quotas: Vec<_> = wanted.iter().map(|wanted| i64::from(wanted.quota)).collect();
    let tokens: Vec<_> = wanted.iter().map(|wanted| i64::from(wanted.tokens)).collect();
    // A window from the future is one of a clock that was set back since: it would last for as long as it was off.
    let rows: Vec<Row> = sqlx::query_as(
        "insert into rate_limit_windows as held (subject, started_at, quota, granted, lease)
         select subject, clock_timestamp(), quota, wanted, wanted
         from unnest($1::bytea[], $2::bigint[], $3::bigint[]) as asked (subject, quota, wanted)
         order by subject
         on conflict (subject) do update set
             (started_at, granted, lease) = (
                 select case when lasts then held.started_at else excluded.started_at end,
                        case when lasts then held.granted + given else excluded.granted end,
                        case when lasts then given else excluded.lease end
                 from (select held.started_at > excluded.started_at - interval '1 hour'
                              and held.started_at < excluded.started_at + interval '1 hour' as lasts,
                              greatest(0, least(excluded.lease, excluded.quota - held.granted)) as given) as present),
             quota = excluded.quota
         returning subject, started_at, granted, lease,
             floor(extract(epoch from started_at + interval '1 hour' - clock_timestamp()) * 1000)::bigint as left_ms",
    )
    .bind(subjects)
    .bind(quotas)
    .bind(tokens)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Lease::try_from).collect()
}

impl TryFrom<Row> for Lease {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let subject = Subject::from_bytes(&row.subject);
        Ok(Self {
            subject: subject.ok_or_else(|| sqlx::Error::Decode("a subject is not as long as they are".into()))?,
            started_at: row.started_at,
            tokens: u32::try_from(row.lease).unwrap_or(u32::MAX),
            granted: u32::try_from(row.granted).unwrap_or(u32::MAX),
            left: Duration::from_millis(u64::try_from(row.left_ms).unwrap_or(0)),
        })
    }
}

/// Takes back what is not needed, where its window still lasts.
pub(super) async fn give_back(pool: &PgPool, unspent: &[(Subject, Unspent)]) -> Result<(), sqlx::Error> {
    let subjects: Vec<_> = unspent.iter().map(|(subject, _)| subject.as_bytes()).collect();
    let windows: Vec<_> = unspent.iter().map(|(_, unspent)| unspent.started_at).collect();
    let tokens: Vec<_> = unspent.iter().map(|(_, unspent)| i64::from(unspent.tokens)).collect();
    sqlx::query(
        "with back as (
             select * from unnest($1::bytea[], $2::timestamptz[], $3::bigint[]) as back (subject, started_at, tokens)),
         locked as materialized (
             select held.subject from rate_limit_windows as held join back using (subject, started_at)
             order by held.subject for update of held)
         update rate_limit_windows as held set granted = greatest(0, held.granted - back.tokens)
         from back join locked using (subject)
         where held.subject = back.subject and held.started_at = back.started_at",
    )
    .bind(subjects)
    .bind(windows)
    .bind(tokens)
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes windows that are over, the oldest first; answers how many that were. Fewer than a batch mean that no more are.
///
/// # Errors
/// When the database does not answer.
pub async fn purge_batch(pool: &PgPool) -> Result<u64, sqlx::Error> {
    // By the rows' places, since a join by key would read the whole table. Rows that somebody holds are in use again.
    let purged = sqlx::query(
        "delete from rate_limit_windows where ctid = any (array(
             select ctid from rate_limit_windows where started_at < now() - make_interval(mins => $1)
             order by started_at limit $2 for update skip locked))",
    )
    .bind(KEPT_MINUTES)
    .bind(PURGE_BATCH_ROWS)
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}

/// Deletes all windows that are over, in batches.
pub(super) async fn purge(pool: &PgPool) -> Result<(), sqlx::Error> {
    while purge_batch(pool).await? == u64::try_from(PURGE_BATCH_ROWS).unwrap_or_default() {}
    Ok(())
}
