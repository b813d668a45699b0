//! Ordered reads of the log. Unlike the library's replay they order by position, know all types, and fail when the
//! connection fails.

use std::sync::Arc;

use aggregates::ids::CustomerId;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use projections::rebuilds::Range;
use projections::{Decoded, PARTITIONS, Partition, StoredEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor, PgPool};

/// The partitions' number stands in statements as it stands in the index that serves them.
const _: () = assert!(PARTITIONS == 8);

/// An event as it lies in the log, whoever it says it is about: no customer need have such an id.
#[derive(Debug, Clone, FromRow, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the log.
    pub position: i64,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
    /// Whom it says it is about.
    pub customer_id: i64,
    /// Which kind of stream it is in.
    pub aggregate_type: String,
    /// Which stream of that kind.
    pub aggregate_id: String,
    /// Its place in the stream, from 1.
    pub sequence: i64,
    /// What happened.
    pub event_type: String,
    /// The version of its payload.
    pub event_version: String,
    /// What is said of it.
    pub payload: Json<Box<RawValue>>,
    /// The request that led to it, and the like.
    pub metadata: Json<Box<RawValue>>,
}

impl TryFrom<Entry> for StoredEvent {
    type Error = sqlx::Error;

    fn try_from(row: Entry) -> Result<Self, sqlx::Error> {
        let customer_id =
            CustomerId::try_from(row.customer_id).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self {
            position: row.position,
            recorded_at: row.recorded_at,
            customer_id,
            aggregate_type: row.aggregate_type,
            aggregate_id: row.aggregate_id,
            sequence: row.sequence,
            event_type: row.event_type,
            event_version: row.event_version,
            payload: row.payload.0,
            metadata: row.metadata.0,
            decoded: Decoded::default(),
        })
    }
}

/// Committed events with a position over `after`, in order, at most `limit`. What is still being committed may be
/// missing among them: [`super::tail`] knows how to tell.
///
/// # Errors
/// When the database does not answer.
pub async fn read_after(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    read_entries(executor, after, limit).await?.into_iter().map(StoredEvent::try_from).collect()
}

/// Whom an event is about, and nothing else of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Touched {
    /// The event's place in the log.
    pub position: i64,
    /// Whom it says it is about.
    pub customer_id: i64,
}

/// As [`read_after`], only whom the events are about.
///
/// # Errors
/// When the database does not answer.
pub async fn read_touched(executor: impl PgExecutor<'_>, after: i64, limit: i64) -> Result<Vec<Touched>, sqlx::Error> {
    sqlx::query_as("select position, customer_id from events where position > $1 order by position limit $2")
        .bind(after)
        .bind(limit)
        .fetch_all(executor)
        .await
}

/// As [`read_after`], whoever the events say they are about.
///
/// # Errors
/// When the database does not answer.
pub async fn read_entries(executor: impl PgExecutor<'_>, after: i64, limit: i64) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as(
        "select position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence,
                event_type, event_version, payload, metadata
         from events where position > $1 order by position limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Events of one partition with a position over `after` and up to `to`, in order, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn read_partition(
    pool: &PgPool,
    partition: Partition,
    after: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<Arc<StoredEvent>>, sqlx::Error> {
    let rows: Vec<Entry> = sqlx::query_as(
        "select position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence,
                event_type, event_version, payload, metadata
         from events where customer_id % 8 = $3 and position > $1 and position <= $2
         order by position limit $4",
    )
    .bind(after)
    .bind(to)
    .bind(i64::from(partition.number()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| StoredEvent::try_from(row).map(Arc::new)).collect()
}

/// Events of one stream behind a place in it, in order, at most `limit`. A stream has no gaps and grows at its end.
///
/// # Errors
/// When the database does not answer.
pub async fn read_stream(
    executor: impl PgExecutor<'_>,
    aggregate_type: &str,
    id: i64,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as(
        "select position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence,
                event_type, event_version, payload, metadata
         from events where aggregate_type = $1 and aggregate_id = $2 and sequence > $3
         order by sequence limit $4",
    )
    .bind(aggregate_type)
    .bind(id.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Passes on all events up to `up_to` of the customers in a range, customer by customer and each one's in order; answers
/// how many there were. Memory holds one customer's.
///
/// # Errors
/// When the database does not answer, or the connection ends before the last of them.
pub async fn each_customer(
    executor: impl PgExecutor<'_>,
    range: Range,
    up_to: i64,
    mut each: impl FnMut(CustomerId, &[StoredEvent]),
) -> Result<i64, sqlx::Error> {
    let mut rows = sqlx::query_as::<_, Entry>(
        "select position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence,
                event_type, event_version, payload, metadata
         from events where customer_id > $1 and customer_id <= $2 and position <= $3
         order by customer_id, position",
    )
    .bind(range.after)
    .bind(range.to)
    .bind(up_to)
    .fetch(executor);
    let mut count = 0;
    let mut events: Vec<StoredEvent> = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let event = StoredEvent::try_from(row)?;
        if let Some(customer) = events.last().map(|event| event.customer_id).filter(|id| *id != event.customer_id) {
            each(customer, &events);
            events.clear();
        }
        events.push(event);
        count += 1;
    }
    if let Some(customer) = events.last().map(|event| event.customer_id) {
        each(customer, &events);
    }
    Ok(count)
}

/// All events of one customer up to `up_to`, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn read_customer(
    executor: impl PgExecutor<'_>,
    customer: CustomerId,
    up_to: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    let range = Range { after: customer.get() - 1, to: customer.get() };
    let mut found = Vec::new();
    each_customer(executor, range, up_to, |_, events| found = events.to_vec()).await?;
    Ok(found)
}

/// The next range of whole customers after one, with about so many events up to `up_to`; `None` behind the last.
///
/// # Errors
/// When the database does not answer.
pub async fn next_customers(pool: &PgPool, after: i64, up_to: i64, events: i64) -> Result<Option<Range>, sqlx::Error> {
    let to: Option<i64> = sqlx::query_scalar(
        "select max(customer_id) from
             (select customer_id from events where customer_id > $1 and position <= $2
              order by customer_id limit $3) next",
    )
    .bind(after)
    .bind(up_to)
    .bind(events)
    .fetch_one(pool)
    .await?;
    Ok(to.map(|to| Range { after, to }))
}

/// How many events there are up to `up_to`.
///
/// # Errors
/// When the database does not answer.
pub async fn count(pool: &PgPool, up_to: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from events where position <= $1").bind(up_to).fetch_one(pool).await
}

/// The position of a partition's last event at or before `to`; 0 when there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn last_in_partition(pool: &PgPool, partition: Partition, to: i64) -> Result<i64, sqlx::Error> {
    let last: Option<i64> = sqlx::query_scalar(
        "select position from events where customer_id % 8 = $2 and position <= $1 order by position desc limit 1",
    )
    .bind(to)
    .bind(i64::from(partition.number()))
    .fetch_optional(pool)
    .await?;
    Ok(last.unwrap_or(0))
}

/// The last position of each partition that has events over `after` and up to `to`.
///
/// # Errors
/// When the database does not answer.
pub async fn last_positions(pool: &PgPool, after: i64, to: i64) -> Result<Vec<(Partition, i64)>, sqlx::Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select customer_id % 8, max(position) from events where position > $1 and position <= $2 group by 1",
    )
    .bind(after)
    .bind(to)
    .fetch_all(pool)
    .await?;
    let known = rows
        .into_iter()
        .filter_map(|(number, position)| Some((Partition::from_number(u8::try_from(number).ok()?)?, position)));
    Ok(known.collect())
}

/// What a partition holds behind a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Pending {
    /// How many events, counted up to a limit.
    pub events: i64,
    /// The position of the last of those that were counted.
    pub last: i64,
    /// Since the first of them was appended.
    pub age_milliseconds: i64,
}

/// What partitions hold behind places in them, `None` for nothing: up to `limit` events are counted.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(
    pool: &PgPool,
    places: &[(Partition, i64)],
    limit: i64,
) -> Result<Vec<Option<Pending>>, sqlx::Error> {
    #[derive(FromRow)]
    struct At {
        place: i64,
        #[sqlx(flatten)]
        pending: Pending,
    }
    let rows: Vec<At> = sqlx::query_as(
        "select place, events, last,
                (extract(epoch from clock_timestamp() - oldest) * 1000)::bigint as age_milliseconds
         from unnest($1::smallint[], $2::bigint[]) with ordinality as places (partition, applied, place),
              lateral (select count(*) as events, max(position) as last, min(recorded_at) as oldest from
                           (select position, recorded_at from events
                            where customer_id % 8 = partition and position > applied
                            order by position limit $3) counted) pending
         where events > 0",
    )
    .bind(places.iter().map(|(partition, _)| i16::from(partition.number())).collect::<Vec<_>>())
    .bind(places.iter().map(|(_, position)| *position).collect::<Vec<_>>())
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let mut pending = vec![None; places.len()];
    for At { place, pending: found } in rows {
        // Places count from 1.
        if let Some(at) = usize::try_from(place - 1).ok().and_then(|index| pending.get_mut(index)) {
            *at = Some(found);
        }
    }
    Ok(pending)
}

/// What the log holds behind a position, `None` for nothing: up to `limit` events are counted.
///
/// # Errors
/// When the database does not answer.
pub async fn pending_after(pool: &PgPool, position: i64, limit: i64) -> Result<Option<Pending>, sqlx::Error> {
    sqlx::query_as(
        "select events, last, (extract(epoch from clock_timestamp() - oldest) * 1000)::bigint as age_milliseconds
         from (select count(*) as events, max(position) as last, min(recorded_at) as oldest from
                   (select position, recorded_at from events where position > $1 order by position limit $2) counted
              ) pending
         where events > 0",
    )
    .bind(position)
    .bind(limit)
    .fetch_optional(pool)
    .await
}

/// The highest committed position; 0 for an empty log.
///
/// # Errors
/// When the database does not answer.
pub async fn head(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let head: Option<i64> = sqlx::query_scalar("select max(position) from events").fetch_one(pool).await?;
    Ok(head.unwrap_or(0))
}
