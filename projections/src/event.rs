//! An event on its way: as it lies in the log ([`StoredEvent`]) and decoded for a projection ([`RecordedEvent`]).

use std::sync::OnceLock;

use aggregates::event::{LendingEvent, UnreadableEvent};
use aggregates::ids::CustomerId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Partition;

/// A row of the log, payload undecoded; also what a message on the bus carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its place in the log, 1 or more, strictly rising.
    pub position: i64,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
    /// Whose credit it is about.
    pub customer_id: CustomerId,
    /// Which kind of stream.
    pub aggregate_type: String,
    /// Which stream.
    pub aggregate_id: String,
    /// Its place in the stream, from 1.
    pub sequence: i64,
    /// What happened.
    pub event_type: String,
    /// The payload's version.
    pub event_version: String,
    /// The event itself, as JSON.
    pub payload: Box<RawValue>,
    /// Request id, trace context and the like, as a JSON object of strings.
    pub metadata: Box<RawValue>,
    /// What it was decoded to, once somebody asked.
    #[serde(skip)]
    pub decoded: Decoded,
}

/// What became of decoding an event, for all that share it.
#[derive(Debug, Clone, Default)]
pub struct Decoded(OnceLock<Box<Result<RecordedEvent, UnreadableEvent>>>);

/// A decoded event with its place in the log.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: i64,
    /// Whose credit it is about.
    pub customer_id: CustomerId,
    /// What happened.
    pub event: LendingEvent,
}

impl StoredEvent {
    /// Which partition it belongs to.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of(self.customer_id)
    }

    /// Decodes the payload once, for all that share the event.
    ///
    /// # Errors
    /// As [`StoredEvent::decode`].
    pub fn decoded(&self) -> Result<&RecordedEvent, &UnreadableEvent> {
        self.decoded.0.get_or_init(|| Box::new(self.decode())).as_ref().as_ref()
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`UnreadableEvent`], when type, version or payload is unknown to this build.
    pub fn decode(&self) -> Result<RecordedEvent, UnreadableEvent> {
        let event =
            LendingEvent::decode(&self.aggregate_type, &self.event_type, &self.event_version, self.payload.get())?;
        Ok(RecordedEvent { position: self.position, customer_id: self.customer_id, event })
    }
}
