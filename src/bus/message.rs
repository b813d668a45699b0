//! What travels: an event with its place in its partition, or a marker that only says how far the log has come.

use async_nats::jetstream::message::Acker;
use projections::StoredEvent;
use serde::{Deserialize, Serialize};

/// A message on the bus.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Everything in the log up to here has been published, or stands before a marker.
    pub position: i64,
    /// The position of the partition's event before this one; 0 for its first.
    pub previous: i64,
    /// The event; `None` in a marker.
    pub event: Option<StoredEvent>,
}

impl Message {
    /// An event that follows `previous` in its partition.
    #[must_use]
    pub const fn event(event: StoredEvent, previous: i64) -> Self {
        Self { position: event.position, previous, event: Some(event) }
    }

    /// Word that the log has come to `position` and the partition to `previous`, without the events.
    #[must_use]
    pub const fn marker(position: i64, previous: i64) -> Self {
        Self { position, previous, event: None }
    }

    /// The id by which the stream knows a repeated message.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.event {
            Some(_) => self.position.to_string(),
            None => format!("marker-{}-{}", self.position, uuid::Uuid::now_v7()),
        }
    }

    /// JSON.
    ///
    /// # Errors
    /// Never for an event that came out of the log.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// From JSON.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A message as a worker gets it, from NATS or straight from the log.
pub struct Delivery {
    /// What was delivered.
    pub message: Message,
    /// How to acknowledge it, where it came from NATS.
    pub acker: Option<Acker>,
}

impl Delivery {
    /// Straight from the log.
    #[must_use]
    pub const fn from_log(message: Message) -> Self {
        Self { message, acker: None }
    }
}
