//! Which events precede which in their partitions: what lets a reader see that it missed some.

use std::mem;
use std::sync::Arc;

use projections::{PARTITIONS, Partition, StoredEvent};

use super::message::Message;

/// What a message carries at most, but for a single event that is larger: well below what NATS takes, and little enough
/// for many to lie in a queue.
pub const MESSAGE_BYTES: usize = 32 * 1024;
/// What an event takes beside its payload and metadata.
const OVERHEAD_BYTES: usize = 300;

/// The last position of every partition.
#[derive(Debug, Clone)]
pub struct Chain {
    last: [i64; PARTITIONS as usize],
}

/// The events of a partition that are being put into a message.
#[derive(Default)]
struct Filling {
    events: Vec<Arc<StoredEvent>>,
    bytes: usize,
}

impl Chain {
    /// Each partition's last position, by [`Partition::index`].
    #[must_use]
    pub const fn new(last: [i64; PARTITIONS as usize]) -> Self {
        Self { last }
    }

    /// Links events to those before them, as few messages as carry them. They come in the order of their last events, so
    /// that the one that carries the last of all is the last.
    #[must_use]
    pub fn link(&mut self, events: Vec<StoredEvent>) -> Vec<(Partition, Message)> {
        let mut filling: [Filling; PARTITIONS as usize] = Default::default();
        let mut messages = Vec::new();
        for event in events {
            let (partition, bytes) = (event.partition(), bytes(&event));
            let filled = &mut filling[partition.index()];
            if filled.bytes > 0 && filled.bytes + bytes > MESSAGE_BYTES {
                messages.push((partition, self.message(partition, mem::take(filled))));
            }
            filled.bytes += bytes;
            filled.events.push(Arc::new(event));
        }
        for (partition, filled) in Partition::all().zip(filling).filter(|(_, filled)| filled.bytes > 0) {
            messages.push((partition, self.message(partition, filled)));
        }
        messages.sort_by_key(|(_, message)| message.position);
        messages
    }

    fn message(&mut self, partition: Partition, filled: Filling) -> Message {
        let message = Message::events(filled.events, self.last[partition.index()]);
        self.last[partition.index()] = message.position;
        message
    }

    /// A marker for each partition, the log having come to `position`.
    #[must_use]
    pub fn markers(&self, position: i64) -> Vec<(Partition, Message)> {
        Partition::all().map(|partition| (partition, Message::marker(position, self.last[partition.index()]))).collect()
    }
}

fn bytes(event: &StoredEvent) -> usize {
    event.payload.get().len() + event.metadata.get().len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use aggregates::ids::CustomerId;
    use projections::Decoded;
    use serde_json::value::RawValue;

    use super::*;

    fn event(position: i64, customer: i64, payload_bytes: usize) -> Result<StoredEvent, Box<dyn Error>> {
        Ok(StoredEvent {
            position,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            customer_id: CustomerId::try_from(customer)?,
            aggregate_type: "customer".to_owned(),
            aggregate_id: customer.to_string(),
            sequence: 1,
            event_type: "CustomerRegistered".to_owned(),
            event_version: "1.0".to_owned(),
            payload: RawValue::from_string(format!("\"{}\"", "x".repeat(payload_bytes)))?,
            metadata: RawValue::from_string("{}".to_owned())?,
            decoded: Decoded::default(),
        })
    }

    /// Of each message: its partition, what it goes on from, and the positions of its events.
    fn linked(messages: &[(Partition, Message)]) -> Vec<(u8, i64, Vec<i64>)> {
        let positions = |message: &Message| message.events.iter().map(|event| event.position).collect();
        let linked = messages.iter().map(|(of, message)| (of.number(), message.previous, positions(message)));
        linked.collect()
    }

    #[test]
    fn what_a_partition_has_goes_in_one_message_and_the_last_event_in_the_last() -> Result<(), Box<dyn Error>> {
        let mut chain = Chain::new([0; PARTITIONS as usize]);
        let events = [event(1, 1, 9)?, event(2, 2, 9)?, event(3, 9, 9)?, event(5, 2, 9)?, event(6, 1, 9)?];
        let messages = chain.link(events.into());
        assert_eq!(linked(&messages), [(2, 0, vec![2, 5]), (1, 0, vec![1, 3, 6])]);
        assert_eq!(linked(&chain.link(vec![event(7, 2, 9)?])), [(2, 5, vec![7])]);
        let markers = chain.markers(8);
        assert_eq!(linked(&markers)[..3], [(0, 0, vec![]), (1, 6, vec![]), (2, 7, vec![])]);
        assert!(markers.iter().all(|(_, marker)| marker.position == 8));
        Ok(())
    }

    #[test]
    fn a_message_carries_only_so_much_and_one_event_whatever_its_size() -> Result<(), Box<dyn Error>> {
        let mut chain = Chain::new([0; PARTITIONS as usize]);
        let half = MESSAGE_BYTES / 2 - OVERHEAD_BYTES - 10;
        let events = [event(1, 1, half)?, event(2, 1, half)?, event(3, 1, half)?, event(4, 1, MESSAGE_BYTES)?];
        let messages = chain.link(events.into());
        assert_eq!(linked(&messages), [(1, 0, vec![1, 2]), (1, 2, vec![3]), (1, 3, vec![4])]);
        Ok(())
    }
}
