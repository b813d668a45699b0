//! Feeds the workers of this process from the log itself while there is no NATS: none configured, or none that
//! answers.

use std::collections::HashMap;
use std::time::Duration;

use projections::{PARTITIONS, StoredEvent};
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use crate::bus::message::{Delivery, Message};
use crate::bus::wake::Follower;
use crate::store::tail::{LogTail, Tailed, settled_head};

use super::{Projector, Queues, Slot};

const LOOK_FOR_NATS: Duration = Duration::from_millis(100);
const HELD_LOOK_AGAIN: Duration = Duration::from_millis(1);
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Follows the log whenever the bus cannot be reached, until stopped.
pub(crate) async fn follow(projector: Projector, queues: Queues, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = if projector.bus.as_ref().is_some_and(|bus| bus.is_connected()) {
            LOOK_FOR_NATS
        } else {
            let following = Following::new(&projector, &queues);
            if let Some(Err(error)) = stop.run_until_cancelled(following.run()).await {
                tracing::warn!(%error, "following the log was interrupted");
            }
            TRY_AGAIN
        };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// One stretch without NATS.
struct Following<'a> {
    projector: &'a Projector,
    queues: &'a Queues,
    /// The last position seen of each partition.
    last: [i64; PARTITIONS as usize],
    /// Whoever could not take an event is owed word of how far its partition has come.
    owed: HashMap<Slot, i64>,
}

impl<'a> Following<'a> {
    fn new(projector: &'a Projector, queues: &'a Queues) -> Self {
        Self { projector, queues, last: [0; PARTITIONS as usize], owed: HashMap::new() }
    }

    async fn run(mut self) -> Result<(), sqlx::Error> {
        let head = settled_head(&self.projector.log).await?;
        self.last = [head; PARTITIONS as usize];
        // Whatever a worker still lacks, it fetches on hearing how far the log is.
        self.owed = super::slots().map(|slot| (slot, head)).collect();
        let mut tail = LogTail::new(self.projector.log.clone(), head);
        tracing::info!(position = head, "workers follow the log directly");
        while !self.projector.bus.as_ref().is_some_and(|bus| bus.is_connected()) {
            self.settle_debts();
            match tail.next().await? {
                Tailed::Events(events) => events.into_iter().for_each(|event| self.deliver(event)),
                Tailed::AtHead => self.projector.wake.wait(Follower::Local).await,
                Tailed::Held => tokio::time::sleep(HELD_LOOK_AGAIN).await,
            }
        }
        tracing::info!(position = tail.position(), "NATS is back; workers follow it again");
        Ok(())
    }

    fn deliver(&mut self, event: StoredEvent) {
        let partition = event.partition();
        let position = event.position;
        let previous = std::mem::replace(&mut self.last[partition.index()], position);
        for (slot, queue) in self.queues.snapshot() {
            if slot.1 == partition
                && let Err(TrySendError::Full(_)) =
                    queue.try_send(Delivery::from_log(Message::event(event.clone(), previous)))
            {
                self.owed.insert(slot, position);
            }
        }
    }

    fn settle_debts(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let queues = self.queues.snapshot();
        self.owed.retain(|slot, position| {
            let Some(queue) = queues.get(slot) else { return false };
            matches!(
                queue.try_send(Delivery::from_log(Message::marker(*position, *position))),
                Err(TrySendError::Full(_))
            )
        });
    }
}
