//! Where what is supplied goes to the workers of this process: one copy for all that apply its partition, and none waits
//! long for another. Whoever has no room for a message is told later how far its partition has come, and fetches from the
//! log what it lacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use projections::{Partition, Slot};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::Queues;
use crate::bus::message::Message;

/// A worker that was waited for in vain is not waited for again so soon.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// A supplier's way to the workers.
pub(super) struct Outlet {
    queues: Queues,
    /// How long a worker without room is waited for.
    patience: Duration,
    /// Whoever had no room is owed word of how far its partition has come.
    owed: HashMap<Slot, i64>,
    /// When one was last waited for in vain.
    slow: HashMap<Slot, Instant>,
}

impl Outlet {
    pub(super) fn new(queues: Queues, patience: Duration) -> Self {
        Self { queues, patience, owed: HashMap::new(), slow: HashMap::new() }
    }

    /// They are to be told that the log has come to there.
    pub(super) fn owe(&mut self, slots: impl Iterator<Item = Slot>, position: i64) {
        self.owed.extend(slots.map(|slot| (slot, position)));
    }

    pub(super) fn owes_nothing(&self) -> bool {
        self.owed.is_empty()
    }

    /// Hands a message to all workers of its partition.
    pub(super) async fn deliver(&mut self, partition: Partition, message: Message) {
        let (reached, message) = (message.reached(), Arc::new(message));
        for (slot, queue) in self.queues.telling(partition, reached) {
            let is_slow = self.slow.get(&slot).is_some_and(|at| at.elapsed() < SLOW_FOR);
            let patience = if is_slow { Duration::ZERO } else { self.patience };
            if !self.owed.contains_key(&slot) {
                if takes(&queue, Arc::clone(&message), patience).await {
                    continue;
                }
                self.slow.insert(slot, Instant::now());
            }
            let owed = self.owed.entry(slot).or_default();
            *owed = reached.max(*owed);
        }
    }

    /// Tells those who are owed word and have room for it.
    pub(super) async fn settle(&mut self) {
        let queues = match self.owed.is_empty() {
            true => return,
            false => self.queues.snapshot(),
        };
        let mut owed = HashMap::new();
        for (slot, position) in self.owed.drain() {
            let Some(queue) = queues.get(&slot) else { continue };
            if !takes(queue, Arc::new(Message::marker(position, position)), Duration::ZERO).await {
                owed.insert(slot, position);
            }
        }
        self.owed = owed;
    }
}

/// Hands a message over; `false` when the queue has had no room for so long. A worker that is gone needs none: its
/// successor looks into the log.
async fn takes(queue: &Sender<Arc<Message>>, message: Arc<Message>, patience: Duration) -> bool {
    match queue.try_send(message) {
        Err(TrySendError::Full(message)) if !patience.is_zero() => {
            tokio::time::timeout(patience, queue.send(message)).await.is_ok()
        }
        Err(TrySendError::Full(_)) => false,
        Ok(()) | Err(TrySendError::Closed(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use projections::Projection;
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    fn partition() -> Partition {
        Partition::from_number(3).unwrap()
    }

    fn worker(queues: &Queues, projection: Projection, room: usize) -> Receiver<Arc<Message>> {
        let (queue, messages) = channel(room);
        queues.insert((projection, partition()), queue);
        messages
    }

    /// How far each message that lies in a queue has come.
    fn lying(messages: &mut Receiver<Arc<Message>>) -> Vec<i64> {
        std::iter::from_fn(|| messages.try_recv().ok()).map(|message| message.reached()).collect()
    }

    #[tokio::test]
    async fn who_has_no_room_is_told_later_and_nobody_else_misses_anything() {
        let queues = Queues::default();
        let mut quick = worker(&queues, Projection::Loans, 9);
        let mut full = worker(&queues, Projection::Customers, 2);
        let mut outlet = Outlet::new(queues, NO_TIME);
        for reached in [5, 7, 8] {
            outlet.deliver(partition(), Message::marker(reached, reached)).await;
        }
        assert_eq!(lying(&mut quick), [0, 5, 7, 8]);
        outlet.settle().await;
        assert_eq!(lying(&mut full), [0, 5], "there was no room for more");
        assert!(!outlet.owes_nothing());
        outlet.deliver(partition(), Message::marker(9, 9)).await;
        assert_eq!(lying(&mut full), [0_i64; 0], "what it is owed comes first");
        outlet.settle().await;
        assert_eq!(lying(&mut full), [9]);
        assert!(outlet.owes_nothing());
        outlet.deliver(partition(), Message::marker(11, 11)).await;
        assert_eq!((lying(&mut full), lying(&mut quick)), (vec![11], vec![9, 11]));
    }

    #[tokio::test]
    async fn a_new_worker_hears_first_how_far_its_partition_was_told_of() {
        let queues = Queues::default();
        let gone = worker(&queues, Projection::Loans, 9);
        let mut outlet = Outlet::new(queues.clone(), NO_TIME);
        drop(gone);
        outlet.deliver(partition(), Message::marker(5, 5)).await;
        assert!(outlet.owes_nothing());
        let mut successor = worker(&queues, Projection::Loans, 9);
        outlet.deliver(partition(), Message::marker(6, 6)).await;
        assert_eq!(lying(&mut successor), [5, 6]);
    }
}
