//! An import in one process's hands: a session-level advisory lock on a connection of its own, over which everything
//! about the import is written.
//!
//! When the process ends its connection ends with it, and so does the lock: another process takes over at once. Each
//! taking counts the attempts up, and nothing is written but under the present count, so whoever lost an import to
//! another can write nothing of it any more. Two that import the same rows do no harm to the rows themselves.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use sqlx::{Connection, Executor, FromRow, PgExecutor, PgPool};

use super::super::report::{Notice, NoticeKind, Tally};
use super::settle::{forget_others, settle};
use super::{FileKind, Stage, State};

const CLASS: i32 = 0x494d;
const CANDIDATES: i64 = 10;
/// As much as a spreadsheet allows its sheets, and titles are given in messages, several times over.
const MAX_NOTICE_CHARS: usize = 500;
/// The longest pause before an interrupted import is taken up again.
const MAX_PAUSE_SECONDS: i32 = 60;
const MAX_ERROR_CHARS: usize = 2000;
/// So many notices are kept of an import; what is beyond is only counted.
const MAX_NOTICES: i64 = 100_000;
/// A process whose machine is gone has its lock for half a minute at most.
const KEEPALIVES: &str = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3";

/// Another process has taken the import over, or it is gone.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// Somebody else has it.
    #[error("the import was taken over by another process")]
    Lost,
    /// The connection broke, and the lock with it.
    #[error("the log's database did not answer")]
    Store(#[from] sqlx::Error),
}

/// What an importer is to do.
#[derive(FromRow)]
pub(super) struct Claimed {
    pub(super) dry_run: bool,
    pub(super) customers_file: Option<String>,
    pub(super) customers_bytes: Option<i64>,
    pub(super) loans_file: Option<String>,
    pub(super) loans_bytes: Option<i64>,
    pub(super) business_day: NaiveDate,
    pub(super) attempts: i32,
    pub(super) interruptions: i32,
    /// Rows that were taken in earlier attempts: what was appended ends at most a chunk behind them.
    pub(super) rows_taken: i64,
    /// What interrupted it last.
    pub(super) error: Option<String>,
    pub(super) cancel_requested: bool,
    /// The request that uploaded it.
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) caller: Option<String>,
}

/// How far an import has come.
pub(super) struct Reached<'a> {
    pub(super) stage: Stage,
    pub(super) rows_done: u64,
    pub(super) rows_taken: u64,
    pub(super) rows_total: Option<u64>,
    pub(super) rows_per_second: u64,
    pub(super) customers: &'a Tally,
    pub(super) loans: &'a Tally,
    pub(super) warnings: u64,
    /// Whether all that earlier attempts took is taken again. Before, their tallies and notices stand.
    pub(super) has_caught_up: bool,
}

/// An import in this process's hands.
pub(super) struct Lease {
    connection: PgConnection,
    pub(super) id: i64,
    attempt: i32,
    /// Notices of this attempt that are kept.
    noticed: i64,
    /// Whether it is this attempt's notices that are shown.
    is_shown: bool,
}

/// Imports that wait for an importer, or were left by one; the oldest first.
pub(super) async fn candidates(log: &PgPool) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select id from imports
         where state in ('waiting', 'running') and (cancel_requested or retry_at is null or retry_at <= clock_timestamp())
           and not exists (select from pg_locks
                           where locktype = 'advisory' and classid = $1::bigint::oid
                             and objid = (id & 2147483647)::oid and objsubid = 2
                             and database = (select oid from pg_database where datname = current_database()))
         order by id limit $2",
    )
    .bind(i64::from(CLASS))
    .bind(CANDIDATES)
    .fetch_all(log)
    .await
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What PostgreSQL takes as text, and not more of it than is of use.
fn text(of: &str, max_chars: usize) -> String {
    of.chars().filter(|c| *c != '\0').take(max_chars).collect()
}

impl Lease {
    /// Takes an import, if nobody has it and it has not ended. What an earlier attempt noticed stays until this one
    /// has come as far.
    pub(super) async fn claim(log: &PgPool, id: i64, today: NaiveDate) -> Result<Option<(Self, Claimed)>, sqlx::Error> {
        let mut connection = log.acquire().await?.detach();
        connection.execute(KEEPALIVES).await?;
        let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, ($2 & 2147483647)::integer)")
            .bind(CLASS)
            .bind(id)
            .fetch_one(&mut connection)
            .await?;
        if !is_ours {
            connection.close().await?;
            return Ok(None);
        }
        let mut transaction = connection.begin().await?;
        let claimed: Option<Claimed> = sqlx::query_as(
            "update imports
             set state = 'running', attempts = attempts + 1,
                 interruptions = interruptions + (state = 'running' and not is_excused)::integer,
                 is_excused = false,
                 business_day = coalesce(business_day, $2),
                 started_at = coalesce(started_at, clock_timestamp())
             where id = $1 and state in ('waiting', 'running')
             returning dry_run, customers_file, customers_bytes, loans_file, loans_bytes, business_day, attempts,
                       interruptions, rows_taken, error, cancel_requested, request_id, traceparent,
                       caller",
        )
        .bind(id)
        .bind(today)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(claimed) = claimed else {
            // It has ended meanwhile: nothing of it is this process's to touch.
            transaction.rollback().await?;
            connection.close().await?;
            return Ok(None);
        };
        forget_others(&mut transaction, id).await?;
        transaction.commit().await?;
        let lease = Self { connection, id, attempt: claimed.attempts, noticed: 0, is_shown: false };
        Ok(Some((lease, claimed)))
    }

    /// A piece of a workbook, counted from 1; `None` behind the last.
    pub(super) async fn piece(&mut self, kind: FileKind, piece: i32) -> Result<Option<Vec<u8>>, sqlx::Error> {
        sqlx::query_scalar("select content from import_files where import_id = $1 and kind = $2 and piece = $3")
            .bind(self.id)
            .bind(kind.name())
            .bind(piece)
            .fetch_optional(&mut self.connection)
            .await
    }

    /// Whether somebody asked to stop it.
    pub(super) async fn is_asked_to_stop(&mut self) -> Result<bool, LeaseError> {
        let asked = sqlx::query_scalar("select cancel_requested from imports where id = $1 and attempts = $2")
            .bind(self.id)
            .bind(self.attempt)
            .fetch_optional(&mut self.connection)
            .await?;
        asked.ok_or(LeaseError::Lost)
    }

    /// Writes down how far it has come and what was noticed on the way; answers whether it is to stop.
    pub(super) async fn reached(&mut self, reached: &Reached<'_>, notices: &[Notice]) -> Result<bool, LeaseError> {
        let room = usize::try_from(MAX_NOTICES - self.noticed).unwrap_or(0);
        let notices = &notices[..notices.len().min(room)];
        let kept = self.noticed + i64::try_from(notices.len()).unwrap_or(i64::MAX);
        let mut transaction = self.connection.begin().await?;
        let stop: Option<bool> = sqlx::query_scalar(
            "update imports
             set stage = $3, rows_done = $4, rows_total = $6, rows_per_second = $7,
                 interruptions = case when $5 > rows_taken then 0 else interruptions end,
                 setbacks = case when $5 > rows_taken then 0 else setbacks end,
                 rows_taken = greatest(rows_taken, $5),
                 customers = case when $11 then $8::json else customers end, loans = case when $11 then $9::json else loans end,
                 warnings = case when $11 then $10 else warnings end,
                 notices_attempt = case when $11 then $2 else notices_attempt end,
                 notices_kept = case when $11 then $12 else notices_kept end
             where id = $1 and attempts = $2 and state = 'running'
             returning cancel_requested",
        )
        .bind(self.id)
        .bind(self.attempt)
        .bind(reached.stage.name())
        .bind(number(reached.rows_done))
        .bind(number(reached.rows_taken))
        .bind(reached.rows_total.map(number))
        .bind(number(reached.rows_per_second))
        .bind(Json(reached.customers))
        .bind(Json(reached.loans))
        .bind(number(reached.warnings))
        .bind(reached.has_caught_up)
        .bind(kept)
        .fetch_optional(&mut *transaction)
        .await?;
        let stop = stop.ok_or(LeaseError::Lost)?;
        if !notices.is_empty() {
            insert(&mut transaction, (self.id, self.attempt), self.noticed, notices).await?;
        }
        if reached.has_caught_up && !self.is_shown {
            forget_others(&mut transaction, self.id).await?;
        }
        transaction.commit().await?;
        self.noticed = kept;
        self.is_shown |= reached.has_caught_up;
        Ok(stop)
    }

    /// Ends the import: its workbooks go, and what was reached stands.
    pub(super) async fn end(mut self, state: State, error: Option<&str>) -> Result<(), LeaseError> {
        let mut transaction = self.connection.begin().await?;
        let ended = sqlx::query(
            "update imports set state = $3, error = $4, ended_at = clock_timestamp()
             where id = $1 and attempts = $2 and state = 'running'",
        )
        .bind(self.id)
        .bind(self.attempt)
        .bind(state.name())
        .bind(error.map(|error| text(error, MAX_ERROR_CHARS)))
        .execute(&mut *transaction)
        .await?;
        if ended.rows_affected() == 0 {
            return Err(LeaseError::Lost);
        }
        if state != State::Done {
            settle(&mut transaction, self.id).await?;
        }
        sqlx::query("delete from import_files where import_id = $1").bind(self.id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(self.connection.close().await?)
    }

    /// Leaves it to another importer, or to a later attempt: as one that waits, when this process is asked to stop.
    pub(super) async fn give_back(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("update imports set state = 'waiting' where id = $1 and attempts = $2 and state = 'running'")
            .bind(self.id)
            .bind(self.attempt)
            .execute(&mut self.connection)
            .await?;
        self.connection.close().await
    }

    /// Leaves it to a later attempt, with what interrupted this one.
    pub(super) async fn interrupted(mut self, error: &str) -> Result<(), sqlx::Error> {
        excuse(&mut self.connection, self.id, self.attempt, error).await?;
        self.connection.close().await
    }

    /// What it is held by, for when the connection is gone: the import and the attempt.
    pub(super) const fn held(&self) -> (i64, i32) {
        (self.id, self.attempt)
    }
}

/// Says what interrupted an attempt: it is taken up again later, the later the oftener that has happened, and does not
/// count among those that ended without a word.
pub(super) async fn excuse(log: impl PgExecutor<'_>, id: i64, attempt: i32, error: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update imports
         set error = $3, is_excused = true, setbacks = setbacks + 1,
             retry_at = clock_timestamp() + make_interval(secs => least(2 ^ (1 + least(setbacks, 10)), $4))
         where id = $1 and attempts = $2 and state = 'running'",
    )
    .bind(id)
    .bind(attempt)
    .bind(text(error, MAX_ERROR_CHARS))
    .bind(MAX_PAUSE_SECONDS)
    .execute(log)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    (import, attempt): (i64, i32),
    noticed: i64,
    notices: &[Notice],
) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&Notice) -> &str| -> Vec<String> {
        notices.iter().map(|notice| text(of(notice), MAX_NOTICE_CHARS)).collect()
    };
    let kinds: Vec<&str> = notices.iter().map(|notice| NoticeKind::name(notice.kind)).collect();
    let rows: Vec<i64> = notices.iter().map(|notice| i64::from(notice.row)).collect();
    let titles: Vec<Option<String>> =
        notices.iter().map(|notice| notice.column.as_deref().map(|title| text(title, MAX_NOTICE_CHARS))).collect();
    sqlx::query(
        "insert into import_notices (import_id, number, kind, workbook, sheet, row, title, reason, attempt)
         select $1, $2 + place, kind, workbook, sheet, row, title, reason, $9
         from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[]) with ordinality
              as n (kind, workbook, sheet, row, title, reason, place)",
    )
    .bind(import)
    .bind(noticed)
    .bind(kinds)
    .bind(texts(|notice| &notice.workbook))
    .bind(texts(|notice| &notice.sheet))
    .bind(rows)
    .bind(titles)
    .bind(texts(|notice| &notice.reason))
    .bind(attempt)
    .execute(connection)
    .await?;
    Ok(())
}
