//! The event log in PostgreSQL: loads go through postgres-es, appends and ordered reads are this module's own.
//!
//! postgres-es is used in plain event-store mode only. Its snapshot and aggregate stores apply every event twice, its
//! `persist` makes a round trip per event, and its replay orders by stream and ends early on a broken connection;
//! [`repository`] is the seam at which the log does better while loads stay on the library.

pub mod append;
pub mod beside;
pub mod gap;
pub mod idempotency;
pub mod ids;
pub mod migrate;
pub mod numbers;
pub mod reader;
pub mod repository;
pub mod restored;
pub mod settled;
pub mod tail;

use aggregates::event::without_values;
use cqrs_es::persist::{EventStoreAggregateContext, PersistedEventStore};
use cqrs_es::{Aggregate, AggregateError, EventStore};
use futures::TryFutureExt;
use sqlx::PgPool;
use tracing::{Instrument, debug_span};

use self::repository::{EventRepository, NewerEvent};
use crate::databases::connections::{Connections, is_away};

/// The event log.
#[derive(Clone)]
pub struct EventLog {
    connections: Connections,
}

/// An aggregate as its stream tells it, with the version it stands at: 0 for a stream that does not exist.
pub type Loaded<A> = EventStoreAggregateContext<A>;

impl EventLog {
    /// A log on connections to its database.
    #[must_use]
    pub fn new(connections: impl Into<Connections>) -> Self {
        Self { connections: connections.into() }
    }

    /// The connections.
    #[must_use]
    pub const fn pool(&self) -> &Connections {
        &self.connections
    }

    /// What tells this log from every other.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn identity(&self) -> Result<String, sqlx::Error> {
        sqlx::query_scalar("select id::text from log_identity").fetch_one(&self.connections).await
    }

    /// Folds an aggregate from its stream.
    ///
    /// # Errors
    /// When the store does not answer, or holds an event that this build cannot read.
    pub async fn load<A>(&self, id: i64) -> Result<Loaded<A>, LoadError>
    where
        A: Aggregate<Error: Send + Sync + 'static>,
    {
        let repository = EventRepository::new(PgPool::clone(&self.connections));
        let store = PersistedEventStore::<EventRepository, A>::new_event_store(repository);
        let span = debug_span!("load", aggregate = A::TYPE);
        let stream = id.to_string();
        let loading = store.load_aggregate(&stream).map_err(LoadError::from);
        self.connections.while_there(loading).instrument(span).await.inspect_err(|error| {
            if matches!(error, LoadError::Unavailable(_)) && !is_away(error) {
                self.connections.doubt();
            }
        })
    }
}

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database did not answer.
    #[error("the event store did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream holds what only a newer version of the product can read.
    #[error("the stream was written to by a newer version")]
    Newer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream holds what this build cannot read.
    #[error("the stream cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for LoadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<AggregateError<E>> for LoadError {
    fn from(error: AggregateError<E>) -> Self {
        match error {
            AggregateError::DeserializationError(source) if source.is::<NewerEvent>() => Self::Newer(source),
            AggregateError::DeserializationError(source) => Self::Unreadable(unquoting(source)),
            AggregateError::DatabaseConnectionError(source) | AggregateError::UnexpectedError(source) => {
                Self::Unavailable(source)
            }
            AggregateError::UserError(source) => Self::Unreadable(Box::new(source)),
            AggregateError::AggregateConflict => Self::Unavailable("a load reported a conflict".into()),
        }
    }
}

/// What a decoder says of an event, without the values that it quotes: they may be names, numbers and incomes, and what
/// is said here is logged.
fn unquoting(source: Box<dyn std::error::Error + Send + Sync>) -> Box<dyn std::error::Error + Send + Sync> {
    match source.downcast_ref::<serde_json::Error>() {
        Some(error) => without_values(error).into(),
        None => source,
    }
}
