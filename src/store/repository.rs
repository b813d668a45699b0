//! The seam to cqrs-es: reads are postgres-es's, appends are one statement for all events of all streams.

use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot};
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::PgPool;

use super::append::{Append, AppendError, append};

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

/// What plain event-store mode has no use for.
fn not_in_event_store_mode(what: &str) -> PersistenceError {
    PersistenceError::UnknownError(format!("{what} are not kept: the log is the only store").into())
}

impl PersistedEventRepository for EventRepository {
    async fn get_events<A: Aggregate>(&self, aggregate_id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.reads.get_events::<A>(aggregate_id).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.reads.get_last_events::<A>(aggregate_id, last_sequence).await
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
        match append(&self.pool, &Append::of(events)).await {
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
