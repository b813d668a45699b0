//! Appending by COPY: for what brings hundreds of events at once. A row costs half of what it costs an `insert`, and a
//! transaction four round trips.

use std::fmt::Write as _;

use projections::copy_text::{NULL, push_field};
use sqlx::{PgConnection, PgPool};

use super::{Append, AppendError, EventColumns, ImportedColumns, PhoneColumns, Prior};

const COPY_EVENTS: &str = "
copy events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) from stdin";
const COPY_IMPORTED: &str = "copy imported_rows (kind, source_key, id, digest, import_id) from stdin";

/// Appends events, and with them which rows of workbooks they are and the phone numbers that they take, in one
/// transaction. COPY locks `events` before it draws a position, as an `insert` does. What else can be appended has no
/// place here.
///
/// # Errors
/// [`AppendError`]; then nothing was appended, unless the connection broke while the transaction was being committed, which
/// is [`AppendError::Store`].
pub async fn append_in_bulk(log: &PgPool, append: &Append) -> Result<(), AppendError> {
    let mut transaction = log.begin().await?;
    if !are_there(&mut transaction, append.events.prior()).await? {
        return Err(AppendError::Conflict);
    }
    copy(&mut transaction, COPY_EVENTS, events(&append.events)).await?;
    take_phone_numbers(&mut transaction, &append.taken).await?;
    copy(&mut transaction, COPY_IMPORTED, imported(&append.imported)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether the events that others go on from are there; once there, they stay.
async fn are_there(transaction: &mut PgConnection, prior: Prior<'_>) -> Result<bool, sqlx::Error> {
    if prior.sequences.is_empty() {
        return Ok(true);
    }
    sqlx::query_scalar(
        "select bool_and(known.there) from unnest($1::text[], $2::text[], $3::bigint[])
             as prior (aggregate_type, aggregate_id, sequence)
             cross join lateral (select exists (
                 select from events known where known.aggregate_type = prior.aggregate_type
                     and known.aggregate_id = prior.aggregate_id and known.sequence = prior.sequence) as there) known",
    )
    .bind(prior.aggregate_types)
    .bind(prior.aggregate_ids)
    .bind(prior.sequences)
    .fetch_one(transaction)
    .await
}

async fn copy(transaction: &mut PgConnection, statement: &str, lines: String) -> Result<(), sqlx::Error> {
    if !lines.is_empty() {
        let mut copying = transaction.copy_in_raw(statement).await?;
        copying.send(lines.into_bytes()).await?;
        copying.finish().await?;
    }
    Ok(())
}

/// In the order of the numbers, so that no two transactions wait for each other.
async fn take_phone_numbers(transaction: &mut PgConnection, taken: &PhoneColumns) -> Result<(), sqlx::Error> {
    if !taken.numbers.is_empty() {
        sqlx::query(
            "insert into phone_numbers (phone_number, customer_id)
             select * from unnest($1::text[], $2::bigint[]) order by 1",
        )
        .bind(&taken.numbers)
        .bind(&taken.customers)
        .execute(transaction)
        .await?;
    }
    Ok(())
}

fn events(events: &EventColumns) -> String {
    let bytes = events.payloads.iter().chain(&events.metadata).map(|text| text.len() + 64).sum();
    let mut lines = String::with_capacity(bytes);
    for (place, sequence) in events.sequences.iter().enumerate() {
        push_field(&events.aggregate_types[place], &mut lines);
        lines.push('\t');
        push_field(&events.aggregate_ids[place], &mut lines);
        // Writing to a String cannot fail.
        let _ = write!(lines, "\t{sequence}");
        for column in [&events.event_types, &events.event_versions, &events.payloads, &events.metadata] {
            lines.push('\t');
            push_field(&column[place], &mut lines);
        }
        lines.push('\n');
    }
    lines
}

fn imported(rows: &ImportedColumns) -> String {
    let mut lines = String::new();
    for (place, id) in rows.ids.iter().enumerate() {
        push_field(&rows.kinds[place], &mut lines);
        lines.push('\t');
        push_field(&rows.source_keys[place], &mut lines);
        let _ = write!(lines, "\t{id}\t");
        push_field("\\x", &mut lines);
        for byte in &rows.digests[place] {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push('\t');
        match rows.imports[place] {
            Some(import) => lines.push_str(&import.to_string()),
            None => lines.push_str(NULL),
        }
        lines.push('\n');
    }
    lines
}
