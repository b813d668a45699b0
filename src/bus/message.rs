//! What travels: the next events of a partition with the place that they go on from, or a marker that only says how far
//! the log has come.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use projections::StoredEvent;
use serde::{Deserialize, Serialize};

/// Trace contexts by the positions of the events that they belong to.
pub type Traceparents = HashMap<i64, String>;

/// A message on the bus.
#[derive(Debug, Clone)]
pub struct Message {
    /// How far the log has come: with the last message of a batch, everything up to here has been published, or stands
    /// before a marker.
    pub position: i64,
    /// The position of the partition's event before these; 0 for its first.
    pub previous: i64,
    /// The partition's events after that, in order, none left out; none at all in a marker.
    pub events: Vec<Arc<StoredEvent>>,
    /// Of the events whose requests are traced.
    pub traceparents: Traceparents,
}

impl Message {
    /// Events that follow `previous` in their partition; at least one.
    #[must_use]
    pub fn events(events: Vec<Arc<StoredEvent>>, previous: i64) -> Self {
        let position = events.last().map_or(previous, |event| event.position);
        Self { position, previous, events, traceparents: Traceparents::new() }
    }

    /// Word that the log has come to `position` and the partition to `previous`, without the events.
    #[must_use]
    pub fn marker(position: i64, previous: i64) -> Self {
        Self { position, previous, events: Vec::new(), traceparents: Traceparents::new() }
    }

    /// How far its partition has come with it.
    #[must_use]
    pub fn reached(&self) -> i64 {
        self.events.last().map_or(self.previous, |event| event.position)
    }

    /// The id by which the stream knows a repeated message.
    #[must_use]
    pub fn id(&self, log: &str) -> String {
        match self.events.first() {
            Some(first) => format!("{log}-{}-{}", first.position, self.position),
            None => format!("marker-{}", uuid::Uuid::now_v7()),
        }
    }

    /// As JSON, under the identity of its log.
    ///
    /// # Errors
    /// Never for events that came out of the log.
    pub fn encode(&self, log: &str) -> Result<Vec<u8>, serde_json::Error> {
        let Self { position, previous, events, traceparents } = self;
        let mut message = Sent {
            position: *position,
            previous: *previous,
            after: None,
            events: Vec::new(),
            event: None,
            traceparents,
        };
        match events.as_slice() {
            [] => {}
            [event] => message.event = Some(event),
            events => {
                message.events = events.iter().map(Arc::as_ref).collect();
                (message.previous, message.after) = (self.reached(), Some(*previous));
            }
        }
        serde_json::to_vec(&SentOf { log, message })
    }

    /// From JSON, if it is of that log.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn decode(bytes: &[u8], log: &str) -> Result<Self, NotOurs> {
        let ReceivedOf { log: of, message } = serde_json::from_slice(bytes)?;
        if of != log {
            return Err(NotOurs::OtherLog(of.into_owned()));
        }
        let Received { position, previous, after, events, event, traceparents } = message;
        let previous = after.unwrap_or(previous);
        let events = event.into_iter().chain(events).map(Arc::new).collect();
        Ok(Self { position, previous, events, traceparents })
    }
}

/// What is sent. An earlier build knows messages of a single `event`. One of several it takes for a marker that names the
/// last of them, and fetches them from the log.
#[derive(Serialize)]
struct SentOf<'a> {
    log: &'a str,
    message: Sent<'a>,
}

#[derive(Serialize)]
struct Sent<'a> {
    position: i64,
    /// Of several events the last one's position; else what stands before.
    previous: i64,
    /// What stands before several events.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a StoredEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a StoredEvent>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    traceparents: &'a Traceparents,
}

/// What is received.
#[derive(Deserialize)]
struct ReceivedOf<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    message: Received,
}

#[derive(Deserialize)]
struct Received {
    position: i64,
    previous: i64,
    after: Option<i64>,
    #[serde(default)]
    events: Vec<StoredEvent>,
    event: Option<StoredEvent>,
    #[serde(default)]
    traceparents: Traceparents,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LOG: &str = "a log";

    fn event(position: i64) -> Value {
        json!({
            "position": position, "recorded_at": "2026-01-01T00:00:00Z", "customer_id": 9,
            "aggregate_type": "customer", "aggregate_id": "9", "sequence": position,
            "event_type": "CustomerRegistered", "event_version": "1.0", "payload": {"a": [1, "2"]}, "metadata": {},
        })
    }

    fn events(positions: &[i64], previous: i64) -> Message {
        let events = positions.iter().map(|position| Arc::new(serde_json::from_value(event(*position)).unwrap()));
        Message::events(events.collect(), previous)
    }

    fn sent(message: &Message) -> Vec<u8> {
        message.encode(LOG).unwrap()
    }

    #[test]
    fn what_is_sent_is_what_is_received() {
        let traceparents = Traceparents::from([(7, "00-1-2-01".to_owned())]);
        let several = Message { traceparents: traceparents.clone(), ..events(&[5, 7], 3) };
        let received = Message::decode(&sent(&several), LOG).unwrap();
        assert_eq!((received.position, received.previous, received.reached()), (7, 3, 7));
        assert_eq!(received.traceparents, traceparents);
        let carried = received.events.iter().map(|event| serde_json::to_value(event.as_ref()).unwrap());
        assert_eq!(carried.collect::<Vec<_>>(), [event(5), event(7)]);

        let one = Message::decode(&sent(&events(&[5], 3)), LOG).unwrap();
        assert_eq!((one.position, one.previous, one.reached(), one.events.len()), (5, 3, 5, 1));

        let marker = Message::decode(&sent(&Message::marker(8, 6)), LOG).unwrap();
        assert_eq!((marker.position, marker.previous, marker.events.len()), (8, 6, 0));
    }

    #[test]
    fn an_earlier_build_reads_one_event_and_takes_several_for_a_marker_that_names_the_last() {
        let read = |message: Message| serde_json::from_slice::<Value>(&sent(&message)).unwrap()["message"].take();
        assert_eq!(read(events(&[5], 3)), json!({ "position": 5, "previous": 3, "event": event(5) }));
        let several = read(events(&[5, 7], 3));
        assert_eq!((&several["position"], &several["previous"], several.get("event")), (&json!(7), &json!(7), None));
    }

    #[test]
    fn an_earlier_build_s_messages_are_received() {
        let of =
            |message: Value| Message::decode(json!({ "log": LOG, "message": message }).to_string().as_bytes(), LOG);
        let single = of(json!({ "position": 5, "previous": 3, "event": event(5) })).unwrap();
        assert_eq!((single.previous, single.reached(), single.events.len()), (3, 5, 1));
        let marker = of(json!({ "position": 5, "previous": 3, "event": null })).unwrap();
        assert_eq!((marker.position, marker.reached(), marker.events.len()), (5, 3, 0));
    }

    #[test]
    fn what_is_not_of_the_log_is_told_apart() {
        let sent = sent(&events(&[5], 3));
        assert!(matches!(Message::decode(&sent, "another"), Err(NotOurs::OtherLog(log)) if log == LOG));
        assert!(matches!(Message::decode(b"[1,2]", LOG), Err(NotOurs::Unreadable(_))));
    }
}
