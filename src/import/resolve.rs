//! What the store already knows of a chunk's rows: what was imported before, which ids and phone numbers are taken,
//! and the streams that a chunk appends to.
//!
//! Each key is looked up by itself, in an index. Told `= any(…)`, PostgreSQL would read the whole table as long as it has
//! counted no rows in it, which a first import does not wait for.

use std::collections::{HashMap, HashSet};

use aggregates::customer::Customer;
use aggregates::event::LendingEvent;
use cqrs_es::Aggregate;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, Row};

use crate::store::ids::MAX_KEPT_ID;

use super::ImportError;
use super::workbook::integer_id;

/// Between the parts of a source key; it stands in no cell that is an id or a phone number.
const SEPARATOR: char = '\u{1f}';

/// A row that was imported before.
pub(super) struct Imported {
    pub(super) id: i64,
    digest: Vec<u8>,
    import: Option<i64>,
}

impl Imported {
    /// Whether the row says the same as it did then.
    pub(super) fn says(&self, content: &str) -> bool {
        self.digest == digest(content)
    }

    /// Whether it was that background import that imported it, before it was interrupted.
    pub(super) fn is_of(&self, import: Option<i64>) -> bool {
        import.is_some() && self.import == import
    }
}

/// The key of a row: what makes it the same row when its file is imported again.
pub(super) fn source_key(parts: [&str; 2]) -> String {
    parts.join(&SEPARATOR.to_string())
}

/// A row's content, in a form that can be compared.
pub(super) fn digest(content: &str) -> Vec<u8> {
    Sha256::digest(content.as_bytes()).to_vec()
}

/// The id that a row would like to keep.
pub(super) fn kept_id(external_id: &str) -> Option<i64> {
    integer_id(external_id).filter(|id| (1..=MAX_KEPT_ID).contains(id))
}

/// Which of these rows were imported before.
pub(super) async fn imported_before(
    pool: &PgPool,
    kind: &str,
    keys: &[String],
) -> Result<HashMap<String, Imported>, ImportError> {
    let rows = sqlx::query(
        "select known.source_key, known.id, known.digest, known.import_id
         from unnest($2::text[]) as wanted (source_key)
              cross join lateral (
                  select source_key, id, digest, import_id from imported_rows
                  where kind = $1 and imported_rows.source_key = wanted.source_key collate \"C\" limit 1
              ) as known",
    )
    .bind(kind)
    .bind(keys)
    .fetch_all(pool)
    .await?;
    let imported = rows.into_iter().map(|row| {
        let (id, digest, import) = (row.try_get("id")?, row.try_get("digest")?, row.try_get("import_id")?);
        let imported = Imported { id, digest, import };
        Ok((row.try_get("source_key")?, imported))
    });
    imported.collect::<Result<_, sqlx::Error>>().map_err(ImportError::from)
}

/// Which of these ids have a stream.
pub(super) async fn taken_ids<A: Aggregate>(pool: &PgPool, ids: &[i64]) -> Result<HashSet<i64>, ImportError> {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    let taken: Vec<String> = sqlx::query_scalar(
        "select wanted.id from unnest($2::text[]) as wanted (id)
              cross join lateral (
                  select from events where aggregate_type = $1 and aggregate_id = wanted.id and sequence = 1 limit 1
              ) as stream",
    )
    .bind(A::TYPE)
    .bind(ids)
    .fetch_all(pool)
    .await?;
    Ok(taken.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Which of these phone numbers belong to a customer.
pub(super) async fn taken_phone_numbers(pool: &PgPool, numbers: &[&str]) -> Result<HashSet<String>, ImportError> {
    let taken: Vec<String> = sqlx::query_scalar("select phone_number from phone_numbers where phone_number = any($1)")
        .bind(numbers)
        .fetch_all(pool)
        .await?;
    Ok(taken.into_iter().collect())
}

/// Who a customer of an earlier workbook is here.
pub(super) enum EarlierCustomer {
    Known(i64),
    Unknown,
    Ambiguous,
}

/// Looks a customer up by the id it has in workbooks: as imported, or else as it stands here.
pub(super) async fn earlier_customer(pool: &PgPool, external_id: &str) -> Result<EarlierCustomer, ImportError> {
    // The key begins with the id: everything from the separator up to the character after it.
    let from = format!("{external_id}{SEPARATOR}");
    let below = format!("{external_id}\u{20}");
    let ids: Vec<i64> = sqlx::query_scalar(
        "select distinct id from imported_rows
         where kind = 'customer' and source_key >= $1 and source_key < $2 limit 2",
    )
    .bind(from)
    .bind(below)
    .fetch_all(pool)
    .await?;
    match (ids.as_slice(), kept_id(external_id)) {
        ([id], _) => Ok(EarlierCustomer::Known(*id)),
        ([], Some(id)) if taken_ids::<Customer>(pool, &[id]).await?.contains(&id) => Ok(EarlierCustomer::Known(id)),
        ([], _) => Ok(EarlierCustomer::Unknown),
        (_, _) => Ok(EarlierCustomer::Ambiguous),
    }
}

/// A customer folded from its stream, and its version.
#[derive(Default)]
pub(super) struct LoadedCustomer {
    pub(super) customer: Customer,
    pub(super) version: usize,
}

/// Folds many customers at once.
pub(super) async fn load_customers(pool: &PgPool, ids: &[i64]) -> Result<HashMap<i64, LoadedCustomer>, ImportError> {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    let rows = sqlx::query(
        "select customer_id, sequence, event_type, event_version, payload
         from unnest($2::text[]) as wanted (id)
              cross join lateral (
                  select customer_id, sequence, event_type, event_version, payload::text as payload from events
                  where aggregate_type = $1 and aggregate_id = wanted.id offset 0
              ) as stream
         order by customer_id, sequence",
    )
    .bind(Customer::TYPE)
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let mut loaded: HashMap<i64, LoadedCustomer> = HashMap::new();
    for row in rows {
        let column = |name| row.try_get::<String, _>(name);
        let (event_type, version, payload) = (column("event_type")?, column("event_version")?, column("payload")?);
        let event = LendingEvent::decode(Customer::TYPE, &event_type, &version, &payload);
        let sequence: i64 = row.try_get("sequence")?;
        let customer = loaded.entry(row.try_get("customer_id")?).or_default();
        if let LendingEvent::Customer(event) = event.map_err(|error| sqlx::Error::Decode(Box::new(error)))? {
            customer.customer.apply(event);
        }
        customer.version = usize::try_from(sequence).unwrap_or(usize::MAX);
    }
    Ok(loaded)
}
