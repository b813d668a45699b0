//! What travels: an event with its place in its partition, or a marker that only says how far the log has come.

use std::borrow::Cow;

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
    pub fn id(&self, log: &str) -> String {
        match &self.event {
            Some(_) => format!("{log}-{}", self.position),
            None => format!("marker-{}", uuid::Uuid::now_v7()),
        }
    }

    /// As JSON, under the identity of its log.
    ///
    /// # Errors
    /// Never for an event that came out of the log.
    pub fn encode(&self, log: &str) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Wire { log: log.into(), message: Cow::Borrowed(self) })
    }

    /// From JSON, if it is of that log.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn decode(bytes: &[u8], log: &str) -> Result<Self, NotOurs> {
        let wire: Wire<'_> = serde_json::from_slice(bytes)?;
        if wire.log != log {
            return Err(NotOurs::OtherLog(wire.log.into_owned()));
        }
        Ok(wire.message.into_owned())
    }
}

/// What is sent.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    log: Cow<'a, str>,
    message: Cow<'a, Message>,
}

/// Why bytes are not a message of a log.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Not a message at all.
    #[error("it cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A message of another log.
    #[error("it is of log {0}")]
    OtherLog(String),
}

/// A message as a worker gets it, from NATS or straight from the log.
pub struct Delivery {
    /// What was delivered.
    pub message: Message,
    /// The trace context that it carried, where its event's request is traced.
    pub traceparent: Option<String>,
    /// How to acknowledge it, where it came from NATS.
    pub acker: Option<Acker>,
}

impl Delivery {
    /// Straight from the log.
    #[must_use]
    pub const fn from_log(message: Message) -> Self {
        Self { message, traceparent: None, acker: None }
    }
}
