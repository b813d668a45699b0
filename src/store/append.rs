//! Appending: events of any number of streams, and what must stand or fall with them, in one statement.
//!
//! The primary key (type, id, sequence) is the optimistic lock: whoever appends second at the same version gets
//! [`AppendError::Conflict`]. The statement locks `events` before it draws a position and holds the lock until it
//! ends, which is what [`super::gap`] relies on: PostgreSQL locks every table that a statement writes before it runs
//! any part of it.

use std::collections::HashSet;
use std::sync::Arc;

use cqrs_es::persist::SerializedEvent;
use sqlx::PgExecutor;
use sqlx::error::DatabaseError;

use super::idempotency::KeyedAnswer;
use crate::databases::connections::is_away;
use crate::databases::is_unexplained;

/// What is appended together, or not at all.
#[derive(Debug, Default, Clone)]
pub struct Append {
    events: EventColumns,
    taken: PhoneColumns,
    released: PhoneColumns,
    imported: ImportedColumns,
    answer: Option<KeyedAnswer>,
    stands_at: i64,
}

/// An event as it is to be stored, with its place in its stream.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Which kind of stream.
    pub aggregate_type: String,
    /// Which stream of that kind.
    pub aggregate_id: String,
    /// Its place in the stream, from 1.
    pub sequence: usize,
    /// What happened.
    pub event_type: String,
    /// The version of its payload.
    pub event_version: String,
    /// What is said of it, as JSON.
    pub payload: String,
    /// The request that led to it, and the like, as JSON.
    pub metadata: String,
}

impl From<&SerializedEvent> for NewEvent {
    fn from(event: &SerializedEvent) -> Self {
        Self {
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence,
            event_type: event.event_type.clone(),
            event_version: event.event_version.clone(),
            payload: event.payload.to_string(),
            metadata: event.metadata.to_string(),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct EventColumns {
    aggregate_types: Vec<String>,
    aggregate_ids: Vec<String>,
    sequences: Vec<i64>,
    event_types: Vec<String>,
    event_versions: Vec<String>,
    payloads: Vec<String>,
    metadata: Vec<String>,
}

/// The events that others go on from.
#[derive(Debug, Default)]
struct Prior<'a> {
    aggregate_types: Vec<&'a str>,
    aggregate_ids: Vec<&'a str>,
    sequences: Vec<i64>,
}

impl EventColumns {
    /// What each stream must end with, of those that are there already.
    fn prior(&self) -> Prior<'_> {
        let mut prior = Prior::default();
        let mut seen = HashSet::new();
        for ((aggregate_type, aggregate_id), sequence) in
            self.aggregate_types.iter().zip(&self.aggregate_ids).zip(&self.sequences)
        {
            if seen.insert((aggregate_type, aggregate_id)) && *sequence > 1 {
                prior.aggregate_types.push(aggregate_type);
                prior.aggregate_ids.push(aggregate_id);
                prior.sequences.push(sequence - 1);
            }
        }
        prior
    }
}

#[derive(Debug, Default, Clone)]
struct PhoneColumns {
    numbers: Vec<String>,
    customers: Vec<i64>,
}

#[derive(Debug, Default, Clone)]
struct ImportedColumns {
    kinds: Vec<String>,
    source_keys: Vec<String>,
    ids: Vec<i64>,
    digests: Vec<Vec<u8>>,
    imports: Vec<Option<i64>>,
}

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A stream is no longer at the version it was loaded at.
    #[error("a stream has moved on since it was loaded")]
    Conflict,
    /// Another customer has the phone number.
    #[error("the phone number is taken")]
    PhoneNumberTaken(String),
    /// Another request has taken effect under the idempotency key.
    #[error("the idempotency key is taken")]
    KeyTaken,
    /// The database was not asked, or called the statement off before its end: nothing was appended.
    #[error("the event store was not there for the events")]
    Untaken(#[source] Arc<sqlx::Error>),
    /// The database refused or did not answer.
    #[error("the event store did not take the events")]
    Store(#[source] Arc<sqlx::Error>),
}

/// Where one of the events that these go on from is not there, they have no sequence, and the table refuses them: whoever
/// remembers more of a stream than there is (the log was taken back to an earlier day) must not leave a hole in it.
const INSERT_EVENTS: &str = "
insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
select aggregate_type, aggregate_id,
       case when (
           select count(*) from unnest($8::text[], $9::text[], $10::bigint[]) as prior (aggregate_type, aggregate_id, sequence)
           where not exists (
               select from events known where known.aggregate_type = prior.aggregate_type
                   and known.aggregate_id = prior.aggregate_id and known.sequence = prior.sequence)
       ) = 0 then sequence end,
       event_type, event_version, payload::json, metadata::json
from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) with ordinality
     as e (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, place)
order by place
returning position";

/// Parts of a `with` that reserve what must be nobody else's, and give back what may be. They see the tables as they
/// were before the statement: a number that one of its customers gives back is not free for another of them.
const INSERT_RESERVATIONS: &str = "
numbers as (
    insert into phone_numbers (phone_number, customer_id) select * from unnest($11::text[], $12::bigint[]) order by 1
), imported as (
    insert into imported_rows (kind, source_key, id, digest, import_id)
    select * from unnest($13::text[], $14::text[], $15::bigint[], $16::bytea[], $19::bigint[])
), released as (
    delete from phone_numbers held using unnest($17::text[], $18::bigint[]) as given_back (phone_number, customer_id)
    where held.phone_number = given_back.phone_number and held.customer_id = given_back.customer_id
)";

/// A part of a `with` that remembers the answer, with the place of the events that the part `appended` inserts.
const INSERT_ANSWER: &str = "
remembered as (
    insert into idempotency_keys
        (idempotency_key, request_digest, status, answer, revision, partition, position, caller)
    select $20, $21, $22, $23, $24, $25, coalesce(max(position), $26), $27 from appended
)";

impl Append {
    /// Just these events.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = NewEvent>) -> Self {
        let mut append = Self::default();
        append.push(events);
        append
    }

    /// Adds events.
    pub fn push(&mut self, events: impl IntoIterator<Item = NewEvent>) {
        let columns = &mut self.events;
        for event in events {
            columns.aggregate_types.push(event.aggregate_type);
            columns.aggregate_ids.push(event.aggregate_id);
            // No stream has 2^63 events; the unique key would refuse a wrong sequence.
            columns.sequences.push(i64::try_from(event.sequence).unwrap_or(i64::MAX));
            columns.event_types.push(event.event_type);
            columns.event_versions.push(event.event_version);
            columns.payloads.push(event.payload);
            columns.metadata.push(event.metadata);
        }
    }

    /// Takes a phone number for a customer in the same transaction.
    pub fn reserve_phone_number(&mut self, phone_number: &str, customer_id: i64) {
        self.taken.push(phone_number, customer_id);
    }

    /// Gives a customer's phone number back in the same transaction; others may take it then.
    pub fn release_phone_number(&mut self, phone_number: &str, customer_id: i64) {
        self.released.push(phone_number, customer_id);
    }

    /// Remembers in the same transaction which id a row of a workbook became, and by which background import.
    pub fn remember_imported(&mut self, kind: &str, source_key: String, id: i64, digest: Vec<u8>, import: Option<i64>) {
        self.imported.kinds.push(kind.to_owned());
        self.imported.source_keys.push(source_key);
        self.imported.ids.push(id);
        self.imported.digests.push(digest);
        self.imported.imports.push(import);
    }

    /// Remembers in the same transaction what the request behind the events is answered.
    pub fn remember_answer(&mut self, answer: KeyedAnswer) {
        self.answer = Some(answer);
    }

    /// Whether there are events.
    #[must_use]
    pub const fn has_events(&self) -> bool {
        !self.events.sequences.is_empty()
    }

    /// Where the log stands that led to no events: the position that is answered then.
    pub const fn stand_at(&mut self, position: i64) {
        self.stands_at = position;
    }

    /// Whether it can be appended in one statement with others: it has events, and besides them it takes phone numbers at
    /// most.
    #[must_use]
    pub const fn can_be_joined(&self) -> bool {
        self.has_events() && self.answer.is_none() && self.released.numbers.is_empty() && self.imported.kinds.is_empty()
    }

    /// Adds another one that can be joined.
    fn join(&mut self, other: &Self) {
        let (columns, events) = (&mut self.events, &other.events);
        columns.aggregate_types.extend_from_slice(&events.aggregate_types);
        columns.aggregate_ids.extend_from_slice(&events.aggregate_ids);
        columns.sequences.extend_from_slice(&events.sequences);
        columns.event_types.extend_from_slice(&events.event_types);
        columns.event_versions.extend_from_slice(&events.event_versions);
        columns.payloads.extend_from_slice(&events.payloads);
        columns.metadata.extend_from_slice(&events.metadata);
        self.taken.numbers.extend_from_slice(&other.taken.numbers);
        self.taken.customers.extend_from_slice(&other.taken.customers);
    }

    /// Whether there are events and nothing else.
    fn is_plain(&self) -> bool {
        let phones = [&self.taken, &self.released];
        phones.iter().all(|phones| phones.numbers.is_empty()) && self.imported.kinds.is_empty() && self.answer.is_none()
    }

    fn statement(&self) -> String {
        if self.is_plain() {
            INSERT_EVENTS.to_owned()
        } else if self.answer.is_none() {
            format!("with {INSERT_RESERVATIONS}{INSERT_EVENTS}")
        } else {
            let appended = format!("appended as ({INSERT_EVENTS})");
            format!("with {INSERT_RESERVATIONS}, {appended}, {INSERT_ANSWER} select position from appended")
        }
    }
}

impl PhoneColumns {
    fn push(&mut self, phone_number: &str, customer_id: i64) {
        self.numbers.push(phone_number.to_owned());
        self.customers.push(customer_id);
    }
}

/// Appends in one round trip and one transaction; returns the last event's position, or where the log stands
/// ([`Append::stand_at`], else 0) when there were no events to append.
///
/// # Errors
/// [`AppendError`]; then nothing was appended, unless the connection broke before the answer came, which is
/// [`AppendError::Store`].
pub async fn append(executor: impl PgExecutor<'_>, append: &Append) -> Result<i64, AppendError> {
    let positions = positions(executor, append).await?;
    Ok(positions.last().copied().unwrap_or(append.stands_at))
}

/// Appends what several want to append, in one round trip and one transaction; returns the last position of each.
///
/// # Errors
/// As [`append`]; then nothing of any of them was appended.
pub async fn append_joined(executor: impl PgExecutor<'_>, appends: &[&Append]) -> Result<Vec<i64>, AppendError> {
    let mut joined = Append::default();
    for append in appends {
        joined.join(append);
    }
    let positions = positions(executor, &joined).await?;
    let ends = appends.iter().scan(0, |end, append| {
        *end += append.events.sequences.len();
        Some(*end)
    });
    Ok(ends.filter_map(|end| positions.get(end.checked_sub(1)?).copied()).collect())
}

/// Appends; returns the positions in order.
async fn positions(executor: impl PgExecutor<'_>, append: &Append) -> Result<Vec<i64>, AppendError> {
    let events = &append.events;
    let (statement, prior) = (append.statement(), events.prior());
    let mut query = sqlx::query_scalar::<_, i64>(&statement)
        .bind(&events.aggregate_types)
        .bind(&events.aggregate_ids)
        .bind(&events.sequences)
        .bind(&events.event_types)
        .bind(&events.event_versions)
        .bind(&events.payloads)
        .bind(&events.metadata)
        .bind(prior.aggregate_types)
        .bind(prior.aggregate_ids)
        .bind(prior.sequences);
    if !append.is_plain() {
        let imported = &append.imported;
        query = query
            .bind(&append.taken.numbers)
            .bind(&append.taken.customers)
            .bind(&imported.kinds)
            .bind(&imported.source_keys)
            .bind(&imported.ids)
            .bind(&imported.digests)
            .bind(&append.released.numbers)
            .bind(&append.released.customers)
            .bind(&imported.imports);
    }
    if let Some(answer) = &append.answer {
        query = query
            .bind(&answer.key)
            .bind(&answer.request_digest)
            // The table takes nothing over 299.
            .bind(i16::try_from(answer.status).unwrap_or(i16::MAX))
            .bind(&answer.body)
            .bind(answer.revision.map(i64::from))
            .bind(i16::from(answer.partition.number()))
            .bind(append.stands_at)
            .bind(&answer.caller);
    }
    let mut positions = query.fetch_all(executor).await.map_err(AppendError::from)?;
    // They are drawn in the order of the events; that they come in it is nowhere promised.
    positions.sort_unstable();
    Ok(positions)
}

impl AppendError {
    /// Whether it may be one stream's or number's fault: of several that were appended together, the others may fare
    /// better by themselves.
    #[must_use]
    pub fn is_ones_own(&self) -> bool {
        match self {
            Self::Conflict | Self::PhoneNumberTaken(_) | Self::KeyTaken => true,
            Self::Untaken(_) => false,
            Self::Store(error) => error.as_database_error().is_some() && !is_unexplained(error),
        }
    }
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().map(Refused::from) {
            Some(Refused::StreamTaken | Refused::Deadlock) => Self::Conflict,
            Some(Refused::PhoneNumberTaken(taken)) => Self::PhoneNumberTaken(taken),
            Some(Refused::KeyTaken) => Self::KeyTaken,
            Some(Refused::CalledOff) => Self::Untaken(Arc::new(error)),
            None if was_not_asked(&error) => Self::Untaken(Arc::new(error)),
            Some(Refused::Otherwise) | None => Self::Store(Arc::new(error)),
        }
    }
}

/// What PostgreSQL's error says about the append.
enum Refused {
    StreamTaken,
    PhoneNumberTaken(String),
    KeyTaken,
    Deadlock,
    CalledOff,
    Otherwise,
}

/// No connection could be had.
fn was_not_asked(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) || is_away(error)
}

impl From<&(dyn DatabaseError + 'static)> for Refused {
    fn from(error: &(dyn DatabaseError + 'static)) -> Self {
        match (error.code().as_deref(), error.constraint()) {
            (Some("23505"), Some("events_pkey" | "imported_rows_pkey")) => Self::StreamTaken,
            (Some("23502"), _) if column(error) == Some("sequence") => Self::StreamTaken,
            (Some("23505"), Some("phone_numbers_pkey")) => Self::PhoneNumberTaken(conflicting_key(error)),
            (Some("23505"), Some("idempotency_keys_pkey")) => Self::KeyTaken,
            (Some("40001" | "40P01"), _) => Self::Deadlock,
            // Its time was up, or a lock's; or the server lets nobody in: it starts, or has no room.
            (Some("57014" | "55P03" | "57P03" | "53300"), _) => Self::CalledOff,
            _ => Self::Otherwise,
        }
    }
}

/// The column that PostgreSQL's error is about.
fn column<'e>(error: &'e (dyn DatabaseError + 'static)) -> Option<&'e str> {
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.column())
}

/// The key in PostgreSQL's detail: `Key (phone_number)=(9876543210) already exists.`
fn conflicting_key(error: &(dyn DatabaseError + 'static)) -> String {
    let detail = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.detail());
    let key = detail.and_then(|detail| detail.split_once(")=(")).and_then(|(_, rest)| rest.split_once(')'));
    key.map_or_else(String::new, |(key, _)| key.to_owned())
}
