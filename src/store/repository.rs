//! The seam to cqrs-es: reads are postgres-es's, appends are one statement for all events of all streams.

use aggregates::event::is_known;
use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot};
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::PgPool;

use super::append::{Append, AppendError, NewEvent, append};

/// The log behind cqrs-es's own trait.
pub struct EventRepository {
    pool: PgPool,
    reads: PostgresEventRepository,
}

impl EventRepository {
    /// A repository on the log's pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { reads: PostgresEventRepository::new(pool.clone()), pool }
    }
}

/// A stream holds an event that this version of the product does not know: a newer one wrote it.
#[derive(Debug, thiserror::Error)]
#[error("a newer version of the product wrote event '{event_type}', version {version}")]
pub struct NewerEvent {
    event_type: String,
    version: String,
}

/// The events, if this version knows them all. One that it does not know may look like one that it does.
fn known(events: Vec<SerializedEvent>) -> Result<Vec<SerializedEvent>, PersistenceError> {
    let is_newer = |event: &&SerializedEvent| !is_known(&event.aggregate_type, &event.event_type, &event.event_version);
    match events.iter().find(is_newer) {
        None => Ok(events),
        Some(newer) => Err(PersistenceError::DeserializationError(Box::new(NewerEvent {
            event_type: newer.event_type.clone(),
            version: newer.event_version.clone(),
        }))),
    }
}

/// What plain event-store mode has no use for.
fn not_in_event_store_mode(what: &str) -> PersistenceError {
    PersistenceError::UnknownError(format!("{what} are not kept: the log is the only store").into())
}

impl PersistedEventRepository for EventRepository {
    async fn get_events<A: Aggregate>(&self, aggregate_id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        known(self.reads.get_events::<A>(aggregate_id).await?)
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        known(self.reads.get_last_events::<A>(aggregate_id, last_sequence).await?)
    }

    async fn get_snapshot<A: Aggregate>(&self, _id: &str) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        snapshot_update: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        if snapshot_update.is_some() {
            return Err(not_in_event_store_mode("snapshots"));
        }
        match append(&self.pool, &Append::of(events.iter().map(NewEvent::from))).await {
            Ok(_) => Ok(()),
            Err(AppendError::Conflict) => Err(PersistenceError::OptimisticLockError),
            Err(AppendError::PhoneNumberTaken(taken)) => Err(PersistenceError::UnknownError(taken.into())),
            Err(error @ AppendError::KeyTaken) => Err(PersistenceError::UnknownError(Box::new(error))),
            Err(AppendError::Untaken(error) | AppendError::Store(error)) => {
                Err(PersistenceError::ConnectionError(Box::new(error)))
            }
        }
    }

    async fn stream_events<A: Aggregate>(&self, _aggregate_id: &str) -> Result<ReplayStream, PersistenceError> {
        Err(not_in_event_store_mode("replay streams"))
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        Err(not_in_event_store_mode("replay streams"))
    }
}
