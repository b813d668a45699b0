//! What a read model is: a table whose rows are a pure fold of events.
//!
//! A read model's folder says which row an event is about and what it makes of it ([`ReadModel::fold`]); loading and
//! storing rows is the same for all, here. Workers fold a batch onto rows that they load, rebuilds and verification
//! fold whole customers from nothing: one fold, so that all of them agree.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aggregates::ids::{CustomerId, LoanId};
use chrono::{DateTime, SubsecRound, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, PgExecutor};

use crate::{Projection, RecordedEvent, Target};

/// Decimals of a second that PostgreSQL keeps.
const TIMESTAMP_DECIMALS: u16 = 6;

/// A column and its SQL type.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str);

/// The row that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its primary key.
    pub(crate) id: i64,
    /// Whether the event is the row's first: there is nothing to load then.
    pub(crate) begins: bool,
}

/// A read model.
pub(crate) trait ReadModel {
    /// Its name.
    const PROJECTION: Projection;
    /// Its columns, the primary key first. One of them is `customer_id`.
    const COLUMNS: &'static [Column];
    /// A row.
    type Row: for<'r> FromRow<'r, PgRow> + PartialEq + Send + Unpin;

    /// Which row an event is about; `None` when it says nothing here.
    fn change(event: &RecordedEvent) -> Option<Change>;
    /// What an event makes of its row.
    fn fold(row: &mut Option<Self::Row>, event: &RecordedEvent) -> Result<(), FoldError>;
    /// The row's primary key.
    fn id(row: &Self::Row) -> i64;
    /// The row's values as PostgreSQL reads them, in the order of the columns.
    fn fields(row: &Self::Row) -> Vec<Option<String>>;
}

/// Runs an expression with `$model` standing for a projection's read model.
macro_rules! with_model {
    ($projection:expr, $model:ident => $body:expr) => {
        match $projection {
            $crate::Projection::Customers => {
                type $model = $crate::customers::Customers;
                $body
            }
            $crate::Projection::Loans => {
                type $model = $crate::loans::Loans;
                $body
            }
            $crate::Projection::CreditProfiles => {
                type $model = $crate::credit_profiles::CreditProfiles;
                $body
            }
            $crate::Projection::Decisions => {
                type $model = $crate::decisions::Decisions;
                $body
            }
        }
    };
}
pub(crate) use with_model;

/// Why an event cannot be folded: the log is not what it must be, or this build cannot read it.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// An event about a customer whose registration has not been seen.
    #[error("customer {0} has events before it was registered")]
    UnknownCustomer(CustomerId),
    /// An event about a loan whose beginning has not been seen.
    #[error("loan {0} has events before it was opened")]
    UnknownLoan(LoanId),
    /// The fold panicked.
    #[error("applying the event panicked: {0}")]
    Panicked(String),
}

/// An instant as exactly as PostgreSQL keeps it, so that a folded row equals the stored one.
pub(crate) fn kept(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(TIMESTAMP_DECIMALS)
}

/// The fold, with a panic caught: it is then one event's fault, not the worker's end.
pub(crate) fn fold<M: ReadModel>(row: &mut Option<M::Row>, event: &RecordedEvent) -> Result<(), FoldError> {
    catch_unwind(AssertUnwindSafe(|| M::fold(row, event))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(FoldError::Panicked(text.unwrap_or_default()))
    })
}

/// The rows that some events are about, folded from what is stored.
pub(crate) async fn fold_onto_stored<M: ReadModel>(
    connection: &mut PgConnection,
    target: Target,
    events: &[&RecordedEvent],
) -> Result<Vec<M::Row>, crate::ApplyError> {
    let stored = load::<M>(connection, target, needed::<M>(events)).await?;
    Ok(fold_onto::<M>(stored, events)?)
}

/// The rows, by their primary keys, that events go on from.
pub(crate) fn needed<M: ReadModel>(events: &[&RecordedEvent]) -> Vec<i64> {
    let mut seen = HashSet::new();
    let first = events.iter().filter_map(|event| M::change(event)).filter(|change| seen.insert(change.id));
    first.filter(|change| !change.begins).map(|change| change.id).collect()
}

/// What events make of the rows that they go on from.
pub(crate) fn fold_onto<M: ReadModel>(
    stored: Vec<M::Row>,
    events: &[&RecordedEvent],
) -> Result<Vec<M::Row>, FoldError> {
    let mut rows: BTreeMap<i64, Option<M::Row>> = stored.into_iter().map(|row| (M::id(&row), Some(row))).collect();
    for event in events {
        if let Some(change) = M::change(event) {
            fold::<M>(rows.entry(change.id).or_default(), event)?;
        }
    }
    Ok(rows.into_values().flatten().collect())
}

fn names<M: ReadModel>() -> String {
    M::COLUMNS.iter().map(|Column(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn key<M: ReadModel>() -> &'static str {
    M::COLUMNS.first().map_or("", |Column(name, _)| name)
}

/// Rows by their primary keys.
pub(crate) async fn load<M: ReadModel>(
    executor: impl PgExecutor<'_>,
    target: Target,
    ids: Vec<i64>,
) -> Result<Vec<M::Row>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("select {} from {target} where {} = any($1)", names::<M>(), key::<M>());
    sqlx::query_as(&sql).bind(ids).fetch_all(executor).await
}

/// The rows of the customers with an id over `after` and up to `to`, by primary key.
pub(crate) async fn load_customers<M: ReadModel>(
    executor: impl PgExecutor<'_>,
    target: Target,
    after: i64,
    to: i64,
) -> Result<BTreeMap<i64, M::Row>, sqlx::Error> {
    let sql = format!("select {} from {target} where customer_id > $1 and customer_id <= $2", names::<M>());
    let rows: Vec<M::Row> = sqlx::query_as(&sql).bind(after).bind(to).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (M::id(&row), row)).collect())
}

/// Writes rows, over what stands there.
pub(crate) async fn store<M: ReadModel>(
    connection: &mut PgConnection,
    target: Target,
    rows: &[M::Row],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = upsert::<M>(target, 1, "");
    let mut query = sqlx::query(&sql);
    for column in columns::<M>(rows.iter()) {
        query = query.bind(column);
    }
    query.execute(connection).await?;
    Ok(())
}

/// The values of rows, column by column.
pub(crate) fn columns<'a, M: ReadModel<Row: 'a>>(
    rows: impl ExactSizeIterator<Item = &'a M::Row>,
) -> Vec<Vec<Option<String>>> {
    let mut columns: Vec<Vec<Option<String>>> = M::COLUMNS.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, field) in columns.iter_mut().zip(M::fields(row)) {
            column.push(field);
        }
    }
    columns
}

/// The statement that writes rows from arrays, one for each column, bound from the placeholder `first` on: those that
/// `only` lets through of the rows `written`, each with its `place` in the arrays, from 1.
pub(crate) fn upsert<M: ReadModel>(target: Target, first: usize, only: &str) -> String {
    let list = |each: &dyn Fn(usize, &Column) -> String| {
        let items = M::COLUMNS.iter().enumerate().map(|(place, column)| each(place + first, column));
        items.collect::<Vec<_>>().join(", ")
    };
    format!(
        "insert into {target} ({names})
         select {casts} from unnest({arrays}) with ordinality as written ({names}, place) {only}
         on conflict ({key}) do update set {set}",
        names = names::<M>(),
        casts = list(&|_, Column(name, sql_type)| format!("{name}::{sql_type}")),
        arrays = list(&|place, _| format!("${place}::text[]")),
        key = key::<M>(),
        set = list(&|_, Column(name, _)| format!("{name} = excluded.{name}")),
    )
}

/// Removes a customer's rows.
pub(crate) async fn remove_customer(
    connection: &mut PgConnection,
    target: Target,
    customer: CustomerId,
) -> Result<(), sqlx::Error> {
    let sql = format!("delete from {target} where customer_id = $1");
    sqlx::query(&sql).bind(customer.get()).execute(connection).await?;
    Ok(())
}

/// The statement by which rows are filled in in bulk.
pub(crate) fn copy_statement<M: ReadModel>(target: Target) -> String {
    format!("copy {target} ({}) from stdin", names::<M>())
}

/// Every row of a table.
pub(crate) fn select_all<M: ReadModel>(target: Target) -> String {
    format!("select {} from {target}", names::<M>())
}

/// Appends a row as a line of COPY's text format.
pub(crate) fn copy_line<M: ReadModel>(row: &M::Row, lines: &mut String) {
    for (place, field) in M::fields(row).iter().enumerate() {
        if place > 0 {
            lines.push('\t');
        }
        match field {
            None => lines.push_str("\\N"),
            Some(text) => escape(text, lines),
        }
    }
    lines.push('\n');
}

fn escape(text: &str, lines: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => lines.push_str("\\\\"),
            '\t' => lines.push_str("\\t"),
            '\n' => lines.push_str("\\n"),
            '\r' => lines.push_str("\\r"),
            other => lines.push(other),
        }
    }
}

/// How two rows differ, column by column: `principal is 100.00, the log says 200.00`.
pub(crate) fn difference<M: ReadModel>(stored: &M::Row, folded: &M::Row) -> String {
    let mut text = String::new();
    for ((Column(name, _), stored), folded) in M::COLUMNS.iter().zip(M::fields(stored)).zip(M::fields(folded)) {
        if stored != folded {
            let separator = if text.is_empty() { "" } else { "; " };
            let or_null = |field: Option<String>| field.unwrap_or_else(|| "null".to_owned());
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{name} is {}, the log says {}", or_null(stored), or_null(folded));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_copy_would_misread_is_escaped() {
        let mut lines = String::new();
        escape("a\tb\\c\nd\re", &mut lines);
        assert_eq!(lines, "a\\tb\\\\c\\nd\\re");
    }
}
