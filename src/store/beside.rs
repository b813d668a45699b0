//! What lies in the log's database beside the events and cannot be folded from them: which rows of workbooks they came
//! from, what requests with an idempotency key were answered, who may send them, and where the counters stand. Read here
//! for an export, written for a restore.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};

/// Rows of a table, a JSON object each.
pub type Rows<'r> = BoxStream<'r, Result<Box<RawValue>, sqlx::Error>>;

/// The highest numbers that were given, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromRow, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Positions in the log.
    pub positions: i64,
    /// Customers' ids.
    pub customers: i64,
    /// Loans' ids.
    pub loans: i64,
    /// Decisions' ids.
    pub decisions: i64,
    /// Repayments' ids.
    pub repayments: i64,
    /// Numbers of background imports.
    pub imports: i64,
}

impl Counters {
    /// The higher one of each.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self {
            positions: self.positions.max(other.positions),
            customers: self.customers.max(other.customers),
            loans: self.loans.max(other.loans),
            decisions: self.decisions.max(other.decisions),
            repayments: self.repayments.max(other.repayments),
            imports: self.imports.max(other.imports),
        }
    }

    /// The sequence of each, as an expression of SQL, and how far it has come.
    const fn sequences(&self) -> [(&'static str, i64); 6] {
        [
            ("pg_get_serial_sequence('events', 'position')", self.positions),
            ("'customer_ids'", self.customers),
            ("'loan_ids'", self.loans),
            ("'decision_ids'", self.decisions),
            ("'repayment_ids'", self.repayments),
            ("pg_get_serial_sequence('imports', 'id')", self.imports),
        ]
    }
}

/// How far the counters have come.
///
/// # Errors
/// When the database does not answer.
pub async fn counters(log: &PgPool) -> Result<Counters, sqlx::Error> {
    sqlx::query_as(
        "select coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'position')::regclass), 0) as positions,
                coalesce(pg_sequence_last_value('customer_ids'), 0) as customers,
                coalesce(pg_sequence_last_value('loan_ids'), 0) as loans,
                coalesce(pg_sequence_last_value('decision_ids'), 0) as decisions,
                coalesce(pg_sequence_last_value('repayment_ids'), 0) as repayments,
                coalesce(pg_sequence_last_value(pg_get_serial_sequence('imports', 'id')::regclass), 0) as imports",
    )
    .fetch_one(log)
    .await
}

/// Lets all numbers go on above these, and above what was given here, leaving `unused` of each.
pub(super) async fn go_on_above(
    connection: &mut PgConnection,
    counters: Counters,
    unused: i64,
) -> Result<(), sqlx::Error> {
    for (sequence, given) in counters.sequences() {
        let sql = format!(
            "select setval({sequence}::regclass, greatest(above, 1), above > 0)
             from (select greatest($1, coalesce(pg_sequence_last_value({sequence}::regclass), 0)) + $2 as above) given"
        );
        sqlx::query(&sql).bind(given).bind(unused).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Begins to read whole tables: that takes as long as it takes.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_reading(log: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut reading = log.begin().await?;
    sqlx::raw_sql("set transaction read only; set local statement_timeout = 0").execute(&mut *reading).await?;
    Ok(reading)
}

/// Which ids rows of workbooks became, in events up to `up_to`. Which background import a row came by is left out: its
/// number means nothing in another database.
pub fn imported_rows(reading: &mut PgConnection, up_to: i64) -> Rows<'_> {
    rows(
        reading,
        "select row_to_json(imported) from
             (select kind, source_key, id, digest from imported_rows where exists
                  (select from events where aggregate_type = kind and aggregate_id = id::text
                                        and sequence = 1 and position <= $1)
              order by kind, source_key) imported",
        Some(up_to),
    )
}

/// What requests with an idempotency key were answered that led to events up to `up_to`.
pub fn answers(reading: &mut PgConnection, up_to: i64) -> Rows<'_> {
    rows(reading, "select row_to_json(remembered) from idempotency_keys remembered where position <= $1", Some(up_to))
}

/// Who may use the API: the digests of the secrets of its keys.
///
/// # Errors
/// When the database does not answer.
pub async fn api_keys(reading: &mut PgConnection) -> Result<Rows<'_>, sqlx::Error> {
    // A schema that is not up to date has none.
    let has_keys: bool =
        sqlx::query_scalar("select to_regclass('api_keys') is not null").fetch_one(&mut *reading).await?;
    if !has_keys {
        return Ok(Box::pin(futures::stream::empty()));
    }
    // A key follows the one that it replaces.
    Ok(rows(reading, "select row_to_json(key) from api_keys key order by created_at, id", None))
}

fn rows<'r>(reading: &'r mut PgConnection, sql: &'static str, up_to: Option<i64>) -> Rows<'r> {
    let query = sqlx::query_scalar::<_, Json<Box<RawValue>>>(sql);
    let query = match up_to {
        Some(up_to) => query.bind(up_to),
        None => query,
    };
    Box::pin(query.fetch(reading).map_ok(|Json(row)| row))
}

/// A table that such rows are written back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Of [`imported_rows`].
    ImportedRows,
    /// Of [`answers`].
    Answers,
    /// Of [`api_keys`].
    ApiKeys,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::ImportedRows => "imported_rows",
            Self::Answers => "idempotency_keys",
            Self::ApiKeys => "api_keys",
        }
    }
}

/// Writes rows back. A column that they do not have gets its default; `Err` names one that the table does not have.
pub(super) async fn write_rows(
    connection: &mut PgConnection,
    table: Table,
    rows: &[Box<RawValue>],
) -> Result<Result<(), String>, sqlx::Error> {
    let mut columns = BTreeSet::new();
    for row in rows {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(row.get()).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        columns.extend(fields.into_iter().map(|(name, _)| name));
    }
    let name = table.name();
    let there_are: Vec<String> = sqlx::query_scalar(
        "select column_name::text from information_schema.columns
         where table_schema = current_schema() and table_name = $1",
    )
    .bind(name)
    .fetch_all(&mut *connection)
    .await?;
    if let Some(unknown) = columns.iter().find(|column| !there_are.contains(column)) {
        return Ok(Err(unknown.clone()));
    }
    let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
    let sql =
        format!("insert into {name} ({columns}) select {columns} from json_populate_recordset(null::{name}, $1::json)");
    sqlx::query(&sql).bind(Json(rows)).execute(connection).await?;
    Ok(Ok(()))
}
