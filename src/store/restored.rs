//! A log that is being filled from an export: how far that has come, and that nobody else touches it meanwhile.
//!
//! It is filled in chunks, a transaction each, so one that was interrupted goes on. Until the last of them every other
//! change of `events` is refused by a trigger, and no process serves from it ([`is_under_way`]).

use projections::rebuilds::Range;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, FromRow, PgPool, Postgres, Transaction};

use super::beside::{Counters, Table, go_on_above, write_rows};
use super::numbers::told_in;
use super::reader::{Entry, next_customers};

/// The advisory lock, class and number, of the one process that restores.
const RESTORE_LOCK: (i32, i32) = (0x4352, 2);
/// Customers whose numbers are reserved at a time have about so many events.
const NUMBERS_EVENTS: i64 = 20_000;

/// Which export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The checksum that it ends in.
    pub sha256: String,
    /// The log that was exported.
    pub log: String,
    /// The position of its last event.
    pub head: i64,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromRow)]
pub struct Come {
    /// How many events are here.
    pub events: i64,
    /// How many of the lines behind them.
    pub others: i64,
}

/// Why the log cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The database refused or did not answer.
    #[error("the log's database refused or did not answer; run it again to go on where it stopped")]
    Database(#[from] sqlx::Error),
    /// There is a log already.
    #[error("the store is not empty: a log is restored into an empty one")]
    NotEmpty,
    /// A restore of another file has not come to its end.
    #[error(
        "a restore of another export (sha256 {0}) has not come to its end: go on with that one, or begin with a new database"
    )]
    OtherExport(String),
    /// Another process restores.
    #[error("another process restores into this store")]
    Busy,
    /// Another process has gone on with it.
    #[error("another process has gone on with this restore")]
    OutOfTurn,
    /// The rows are of a newer version of the product.
    #[error("the export is of a newer version of the product: it knows a column {column} of {table:?}")]
    Newer {
        /// Of what.
        table: Table,
        /// Which.
        column: String,
    },
    /// Two customers have one number, or one has none that can be read.
    #[error("the phone numbers of the customers {} to {} are not one each", .0.after + 1, .0.to)]
    Numbers(Range),
}

/// Whether a restore into this log has not come to its end.
///
/// # Errors
/// When the database does not answer.
pub async fn is_under_way(log: &PgPool) -> Result<bool, sqlx::Error> {
    // A schema that is not up to date does not know of it.
    let known: bool = sqlx::query_scalar("select to_regclass('log_restored') is not null").fetch_one(log).await?;
    Ok(known
        && sqlx::query_scalar("select exists (select from log_restored where finished_at is null)")
            .fetch_one(log)
            .await?)
}

/// A store must be empty to be filled, or have been begun to be.
///
/// # Errors
/// [`FillError::NotEmpty`], or when the database does not answer.
pub async fn must_be_free(log: &PgPool) -> Result<(), FillError> {
    if is_under_way(log).await? || is_empty(&mut *log.acquire().await?).await? {
        return Ok(());
    }
    Err(FillError::NotEmpty)
}

async fn is_empty(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select not (exists (select from events) or exists (select from phone_numbers)
                     or exists (select from imported_rows) or exists (select from idempotency_keys)
                     or exists (select from imports) or exists (select from log_restored))",
    )
    .fetch_one(connection)
    .await
}

/// The one restore into a log, for as long as this lives.
pub struct Filling {
    log: PgPool,
    come: Come,
    // Holds the lock, which goes with it.
    lock: PgConnection,
}

impl Filling {
    /// Begins to fill an empty log, or goes on with what was begun of the same export.
    ///
    /// # Errors
    /// [`FillError`].
    pub async fn begin(log: &PgPool, origin: &Origin) -> Result<Self, FillError> {
        let mut lock = log.acquire().await?.detach();
        let (class, number) = RESTORE_LOCK;
        let held: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
            .bind(class)
            .bind(number)
            .fetch_one(&mut lock)
            .await?;
        if !held {
            return Err(FillError::Busy);
        }
        let begun: Option<(String, bool)> =
            sqlx::query_as("select sha256, finished_at is not null from log_restored").fetch_optional(log).await?;
        match begun {
            None => start(log, origin).await?,
            Some((_, true)) => return Err(FillError::NotEmpty),
            Some((sha256, false)) if sha256 != origin.sha256 => return Err(FillError::OtherExport(sha256)),
            Some((_, false)) => {}
        }
        let come = sqlx::query_as("select events, others from log_restored").fetch_one(log).await?;
        Ok(Self { log: log.clone(), come, lock })
    }

    /// How far it has come.
    #[must_use]
    pub const fn come(&self) -> Come {
        self.come
    }

    /// Adds events, in the order of their positions.
    ///
    /// # Errors
    /// [`FillError`]; then none of them is there, unless the connection broke before the answer came.
    pub async fn add_events(&mut self, events: &[Entry]) -> Result<(), FillError> {
        let come = Come { events: self.come.events + length(events), ..self.come };
        let mut chunk = self.begin_chunk(come).await?;
        insert(&mut chunk, events).await?;
        chunk.commit().await?;
        self.come = come;
        Ok(())
    }

    /// Adds rows of what lies beside the events.
    ///
    /// # Errors
    /// As [`Filling::add_events`].
    pub async fn add_rows(&mut self, table: Table, rows: &[Box<serde_json::value::RawValue>]) -> Result<(), FillError> {
        let come = Come { others: self.come.others + length(rows), ..self.come };
        let mut chunk = self.begin_chunk(come).await?;
        write_rows(&mut chunk, table, rows).await?.map_err(|column| FillError::Newer { table, column })?;
        chunk.commit().await?;
        self.come = come;
        Ok(())
    }

    async fn begin_chunk(&self, come: Come) -> Result<Transaction<'static, Postgres>, FillError> {
        let mut chunk = self.log.begin().await?;
        sqlx::query("select set_config('credit_approval.restoring', 'on', true)").execute(&mut *chunk).await?;
        let moved = sqlx::query(
            "update log_restored set events = $1, others = $2
             where events = $3 and others = $4 and finished_at is null",
        )
        .bind(come.events)
        .bind(come.others)
        .bind(self.come.events)
        .bind(self.come.others)
        .execute(&mut *chunk)
        .await?;
        if moved.rows_affected() == 1 { Ok(chunk) } else { Err(FillError::OutOfTurn) }
    }

    /// Reserves the customers' phone numbers, as the events tell them. Done twice it is no different.
    ///
    /// # Errors
    /// [`FillError`].
    pub async fn reserve_numbers(&self, up_to: i64) -> Result<(), FillError> {
        let mut after = 0;
        while let Some(range) = next_customers(&self.log, after, up_to, NUMBERS_EVENTS).await? {
            let mut chunk = self.log.begin().await?;
            let told = told_in(&mut chunk, range, up_to).await?;
            let (customers, numbers): (Vec<i64>, Vec<Option<String>>) = told.into_iter().unzip();
            let reserved = sqlx::query(
                "insert into phone_numbers as held (phone_number, customer_id)
                 select * from unnest($1::text[], $2::bigint[])
                 on conflict (phone_number) do update set customer_id = excluded.customer_id
                     where held.customer_id = excluded.customer_id",
            )
            .bind(&numbers)
            .bind(&customers)
            .execute(&mut *chunk)
            .await;
            // Unreadable, or twice in one range.
            let wrong = |error: &sqlx::Error| {
                let code =
                    error.as_database_error().and_then(|refusal| refusal.code()).unwrap_or_default().into_owned();
                matches!(code.as_str(), "23502" | "21000")
            };
            match reserved {
                Ok(reserved) if reserved.rows_affected() == customers.len() as u64 => {}
                Ok(_) => return Err(FillError::Numbers(range)),
                Err(error) if wrong(&error) => return Err(FillError::Numbers(range)),
                Err(error) => return Err(error.into()),
            }
            chunk.commit().await?;
            after = range.to;
        }
        Ok(())
    }

    /// Opens the log: numbers go on above `counters`, `unused` of each left out, and appends are let in.
    ///
    /// # Errors
    /// [`FillError`]; then it stays closed.
    pub async fn finish(self, head: i64, counters: Counters, unused: i64) -> Result<(), FillError> {
        sqlx::raw_sql("analyze events; analyze phone_numbers; analyze imported_rows").execute(&self.log).await?;
        let mut last = self.log.begin().await?;
        sqlx::raw_sql("set local lock_timeout = '10s'; drop trigger restoring on events").execute(&mut *last).await?;
        go_on_above(&mut last, counters, unused).await?;
        // Nobody was ever about to append what is missing before it.
        sqlx::query("update log_settled set position = $1").bind(head).execute(&mut *last).await?;
        let finished = sqlx::query("update log_restored set finished_at = clock_timestamp() where finished_at is null")
            .execute(&mut *last)
            .await?;
        if finished.rows_affected() != 1 {
            return Err(FillError::OutOfTurn);
        }
        last.commit().await?;
        self.lock.close().await?;
        Ok(())
    }
}

/// Notes that it is begun, and lets nobody else append from then on.
async fn start(log: &PgPool, origin: &Origin) -> Result<(), FillError> {
    let mut begun = log.begin().await?;
    sqlx::raw_sql("set local lock_timeout = '10s'; lock table events in share row exclusive mode")
        .execute(&mut *begun)
        .await?;
    if !is_empty(&mut begun).await? {
        return Err(FillError::NotEmpty);
    }
    sqlx::query("insert into log_restored (sha256, origin, head) values ($1, $2::uuid, $3)")
        .bind(&origin.sha256)
        .bind(&origin.log)
        .bind(origin.head)
        .execute(&mut *begun)
        .await?;
    sqlx::raw_sql(
        "create trigger restoring before insert or update or delete or truncate on events
         for each statement execute function refuse_while_restoring()",
    )
    .execute(&mut *begun)
    .await?;
    Ok(begun.commit().await?)
}

async fn insert(connection: &mut PgConnection, events: &[Entry]) -> Result<(), sqlx::Error> {
    fn column<T>(events: &[Entry], of: impl Fn(&Entry) -> T) -> Vec<T> {
        events.iter().map(of).collect()
    }
    sqlx::query(
        "insert into events (position, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version,
                             payload, metadata)
         overriding system value
         select position, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version,
                payload::json, metadata::json
         from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                     $8::text[], $9::text[])
              as e (position, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version,
                    payload, metadata)",
    )
    .bind(column(events, |event| event.position))
    .bind(column(events, |event| event.recorded_at))
    .bind(column(events, |event| event.aggregate_type.clone()))
    .bind(column(events, |event| event.aggregate_id.clone()))
    .bind(column(events, |event| event.sequence))
    .bind(column(events, |event| event.event_type.clone()))
    .bind(column(events, |event| event.event_version.clone()))
    .bind(column(events, |event| event.payload.get().to_owned()))
    .bind(column(events, |event| event.metadata.get().to_owned()))
    .execute(connection)
    .await?;
    Ok(())
}

fn length<T>(of: &[T]) -> i64 {
    i64::try_from(of.len()).unwrap_or(i64::MAX)
}
