//! A worker: applies one partition of the log to one read model.
//!
//! It trusts no delivery. What stands at or before its checkpoint it has applied; where a delivery's predecessor
//! stands beyond the checkpoint, it fetches what is missing from the log. So any loss, repetition or reordering on
//! the way gives the same read model.

use std::time::Duration;

use projections::{ApplyError, Partition, Projection, RecordedEvent, StoredEvent, apply, checkpoint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use aggregates::event::UnreadableEvent;

use crate::bus::message::Delivery;
use crate::store::reader::read_partition;
use crate::store::tail::settled_head;

use super::{Projector, Slot};

const BATCH_DELIVERIES: usize = 500;
const BACKFILL_EVENTS: i64 = 1000;
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// Positions of other partitions that are remembered as passed, so that no later start reads them again.
const WORTH_A_CHECKPOINT: i64 = 10_000;

/// Why a worker stopped; it is started again and goes on at its checkpoint.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("the log did not answer")]
    Log(#[source] sqlx::Error),
    #[error("the checkpoint could not be read")]
    Checkpoint(#[source] sqlx::Error),
    #[error("a batch did not take effect")]
    Apply(#[from] ApplyError),
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        position: i64,
        #[source]
        source: UnreadableEvent,
    },
}

/// One worker.
pub(crate) struct Worker {
    projector: Projector,
    projection: Projection,
    partition: Partition,
    checkpoint: i64,
}

impl Worker {
    pub(crate) const fn new(projector: Projector, (projection, partition): Slot) -> Self {
        Self { projector, projection, partition, checkpoint: 0 }
    }

    /// Works until stopped, the queue is closed, or something fails.
    pub(crate) async fn run(mut self, mut deliveries: mpsc::Receiver<Delivery>, stop: &CancellationToken) {
        if let Some(Err(error)) = stop.run_until_cancelled(self.work(&mut deliveries)).await {
            let (projection, partition) = (self.projection, self.partition);
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, %projection, %partition, checkpoint = self.checkpoint, "a projection worker failed");
        }
    }

    async fn work(&mut self, deliveries: &mut mpsc::Receiver<Delivery>) -> Result<(), WorkerError> {
        self.checkpoint = checkpoint::load(&self.projector.read_models, self.projection, self.partition)
            .await
            .map_err(WorkerError::Checkpoint)?;
        self.report();
        let head = settled_head(&self.projector.log, SETTLE_WITHIN).await.map_err(WorkerError::Log)?;
        // Where that is not known, deliveries say how far to go.
        if let Some(head) = head {
            self.backfill(head).await?;
        }
        let mut batch = Vec::with_capacity(BATCH_DELIVERIES);
        while deliveries.recv_many(&mut batch, BATCH_DELIVERIES).await > 0 {
            self.take(&batch).await?;
            acknowledge(&batch).await;
            batch.clear();
        }
        Ok(())
    }

    /// Applies what is new in a batch of deliveries.
    async fn take(&mut self, batch: &[Delivery]) -> Result<(), WorkerError> {
        let mut ready = Vec::with_capacity(batch.len());
        let mut reached = self.checkpoint;
        for Delivery { message, .. } in batch {
            if message.previous > reached {
                self.apply(std::mem::take(&mut ready), reached).await?;
                self.backfill(message.previous).await?;
                reached = self.checkpoint;
            }
            if let Some(event) = message.event.as_ref().filter(|event| event.position > reached) {
                ready.push(decode(event)?);
                reached = event.position;
            }
        }
        self.apply(ready, reached).await
    }

    /// Fetches from the log what stands between the checkpoint and `to`, and applies it. Everything up to `to` is
    /// settled, so nothing can appear there later.
    async fn backfill(&mut self, to: i64) -> Result<(), WorkerError> {
        while self.checkpoint < to {
            let events = read_partition(&self.projector.log, self.partition, self.checkpoint, to, BACKFILL_EVENTS)
                .await
                .map_err(WorkerError::Log)?;
            let reached = match events.last() {
                Some(event) => event.position,
                None if to - self.checkpoint > WORTH_A_CHECKPOINT => to,
                None => return Ok(()),
            };
            let events = events.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
            self.apply(events, reached).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, batch: Vec<RecordedEvent>, reached: i64) -> Result<(), WorkerError> {
        if reached == self.checkpoint {
            return Ok(());
        }
        let read_models = &self.projector.read_models;
        apply(read_models, self.projection, self.partition, self.checkpoint, reached, &batch).await?;
        self.checkpoint = reached;
        self.report();
        Ok(())
    }

    fn report(&self) {
        self.projector.progress.set(self.projection, self.partition, self.checkpoint);
    }
}

fn decode(event: &StoredEvent) -> Result<RecordedEvent, WorkerError> {
    event.decode().map_err(|source| WorkerError::Unreadable { position: event.position, source })
}

/// Acknowledges the newest message that came from NATS, and with it all before. What is lost here comes again, and
/// is skipped.
async fn acknowledge(batch: &[Delivery]) {
    if let Some(acker) = batch.iter().rev().find_map(|delivery| delivery.acker.as_ref())
        && let Err(error) = acker.ack().await
    {
        tracing::debug!(%error, "could not acknowledge");
    }
}
