//! Which event precedes which in its partition: what lets a reader see that it missed one.

use projections::{PARTITIONS, Partition, StoredEvent};
use sqlx::PgPool;

use crate::bus::message::Message;
use crate::store::reader::last_in_partition;

/// The last position of every partition.
pub(crate) struct Chain {
    last: [i64; PARTITIONS as usize],
}

impl Chain {
    /// As the log stands at `position`.
    pub(crate) async fn at(log: &PgPool, position: i64) -> Result<Self, sqlx::Error> {
        let mut last = [0; PARTITIONS as usize];
        for partition in Partition::all() {
            last[partition.index()] = last_in_partition(log, partition, position).await?;
        }
        Ok(Self { last })
    }

    /// Links events to those before them.
    pub(crate) fn link(&mut self, events: Vec<StoredEvent>) -> Vec<(Partition, Message)> {
        let link = |event: StoredEvent| {
            let partition = event.partition();
            let previous = std::mem::replace(&mut self.last[partition.index()], event.position);
            (partition, Message::event(event, previous))
        };
        events.into_iter().map(link).collect()
    }

    /// A marker for each partition, the log having come to `position`.
    pub(crate) fn markers(&self, position: i64) -> Vec<(Partition, Message)> {
        Partition::all().map(|partition| (partition, Message::marker(position, self.last[partition.index()]))).collect()
    }
}
