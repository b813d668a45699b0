//! The log as people and downstream systems read it: each event with where it stands and a plain sentence, the history
//! of one stream, and the whole log in order.
//!
//! Unlike the read models' queries this reads the log itself, and it recomputes nothing: an event tells what happened in
//! the words of the version that recorded it.

mod summary;

use std::collections::HashMap;
use std::time::Duration;

use projections::StoredEvent;
use projections::keyset::{Key, KeyValue, Kind, Order, OrderColumn, Page, PageOf};
use serde_json::value::RawValue;
use sqlx::{PgExecutor, PgPool};

use crate::store::reader::{Entry, read_stream};
use crate::store::settled::{Settled, settled_after};

/// How long a reader of the log is kept waiting where a transaction may still put an event before those that are there.
const SETTLE_WITHIN: Duration = Duration::from_millis(500);

/// A history's order: the stream's own.
pub const HISTORY_ORDER: Order = &[OrderColumn("sequence", Kind::Integer)];

/// Which kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// A customer's: registration, details, decisions, and what its loans mean for its credit.
    Customer,
    /// A loan's.
    Loan,
}

impl Stream {
    /// As the log calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => <aggregates::customer::Customer as cqrs_es::Aggregate>::TYPE,
            Self::Loan => <aggregates::loan::Loan as cqrs_es::Aggregate>::TYPE,
        }
    }
}

/// An event as it is told.
#[derive(Debug)]
pub struct Told {
    /// The event as it lies in the log.
    pub event: Entry,
    /// Its own data, as JSON.
    pub data: Box<RawValue>,
    /// What happened, in a sentence; `None` for an event that this build cannot read.
    pub summary: Option<String>,
}

impl Told {
    fn of(event: Entry) -> Self {
        // One about a customer that there cannot be is told as one that cannot be read.
        let recorded = StoredEvent::try_from(event.clone()).ok().and_then(|event| event.decode().ok());
        let summary = recorded.map(|recorded| summary::of(&recorded.event));
        let data = data(&event).unwrap_or_else(|| event.payload.0.clone());
        Self { event, data, summary }
    }
}

/// What stands in a payload under the event's name.
fn data(event: &Entry) -> Option<Box<RawValue>> {
    let mut named: HashMap<String, Box<RawValue>> = serde_json::from_str(event.payload.get()).ok()?;
    named.remove(&event.event_type).filter(|_| named.is_empty())
}

/// A page of a stream's events, from the first on; `None` when there is no such stream.
///
/// # Errors
/// When the database does not answer.
pub async fn history(
    log: impl PgExecutor<'_>,
    stream: Stream,
    id: i64,
    page: &PageOf,
) -> Result<Option<Page<Told>>, sqlx::Error> {
    let after = match page.after.as_ref().map(Key::values) {
        Some([KeyValue::Integer(sequence)]) => *sequence,
        Some(_) | None => 0,
    };
    let found = read_stream(log, stream.name(), id, after, i64::from(page.limit) + 1).await?;
    if found.is_empty() && after == 0 {
        return Ok(None);
    }
    let Page { items, next } = Page::of(found, page.limit, |event| Key::new([KeyValue::Integer(event.sequence)]));
    Ok(Some(Page { items: items.into_iter().map(Told::of).collect(), next }))
}

/// Events of the log behind a position, in order, at most `limit`: only those that nothing can come before any more, so
/// that whoever reads on behind the last of them never misses one. And whether more are there, settled or not.
///
/// # Errors
/// When the database does not answer.
pub async fn events_after(log: &PgPool, after: i64, limit: i64) -> Result<(Vec<Told>, bool), sqlx::Error> {
    let Settled { events, more } = settled_after(log, after, limit, SETTLE_WITHIN).await?;
    Ok((events.into_iter().map(Told::of).collect(), more))
}
