//! A worker: applies one partition of the log to one read model.
//!
//! It trusts no message. What stands at or before its checkpoint it has applied; where a message's predecessor stands
//! beyond the checkpoint, it fetches what is missing from the log. So any loss, repetition or reordering on
//! the way gives the same read model. Nor does it trust an event: one that cannot be applied parks its customer
//! ([`projections::apply()`]), and one at which the worker ends again and again without saying why is found out by the
//! attempts that it notes, and parked too.

use std::sync::Arc;
use std::time::Duration;

use projections::apply::park_untried;
use projections::checkpoint::{Attempts, Stamp};
use projections::together::Share;
use projections::{Applied, ApplyError, Partition, Projection, Slot, StoredEvent, Target, apply, checkpoint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::message::Message;
use crate::databases::is_unexplained;
use crate::store::reader::read_partition;
use crate::store::tail::settled_head;
use crate::telemetry::traces::are_made;

use super::Projector;
use super::metrics::{Applying, Carried};
use super::pulse::Pulse;

const BATCH_MESSAGES: usize = 32;
/// With so many events a batch is complete.
const BATCH_EVENTS: usize = 500;
const BACKFILL_EVENTS: i64 = 1000;
/// Batches of up to so many events are applied together with those of other workers: beyond, workers go faster side by
/// side.
const TOGETHER_EVENTS: usize = 64;
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Positions of other partitions that are remembered as passed, so that no later start reads them again.
const WORTH_A_CHECKPOINT: i64 = 10_000;
/// Attempts on the same events that end without a word before they are tried one by one.
const ATTEMPTS_BEFORE_CAUTION: i16 = 3;
/// Attempts on one event alone that end without a word before it is parked.
const ATTEMPTS_BEFORE_PARKING: i16 = 5;
/// How many events are tried one by one: all those that a batch at that checkpoint can have held.
const CAUTIOUS_EVENTS: usize = 1000;
const NOTE_WITHIN: Duration = Duration::from_secs(1);
/// Between two words about a log that ends before a checkpoint.
const BEYOND_THE_LOG_PAUSE: Duration = Duration::from_secs(30);

/// Why a worker stopped; it is started again and goes on at its checkpoint.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("the log did not answer")]
    Log(#[source] sqlx::Error),
    #[error("the checkpoint could not be read or noted")]
    Checkpoint(#[source] sqlx::Error),
    #[error("a batch did not take effect")]
    Apply(#[from] ApplyError),
    #[error("applying a batch ended without a word")]
    Task(#[from] tokio::task::JoinError),
    #[error(
        "the read model has applied position {position}, and the log ends at {head}: if it was restored to an \
             earlier day, rebuild the read models"
    )]
    BeyondTheLog { position: i64, head: i64 },
}

impl WorkerError {
    /// Whether it may be an event that ended it: the connection broke, or the server's process ended.
    fn is_unexplained(&self) -> bool {
        match self {
            Self::Apply(ApplyError::Database(error)) => is_unexplained(error),
            Self::Task(_) => true,
            Self::Apply(_) | Self::Log(_) | Self::Checkpoint(_) | Self::BeyondTheLog { .. } => false,
        }
    }
}

/// An event at which workers ended without saying why.
#[derive(Debug, thiserror::Error)]
#[error("workers ended {0} times while they applied this event alone, without saying why")]
struct EndedSilently(i16);

/// One worker.
pub struct Worker {
    projector: Projector,
    target: Target,
    partition: Partition,
    pulse: Arc<Pulse>,
    checkpoint: i64,
    /// The checkpoint's row as this worker has left it, where nobody is parked.
    stamp: Option<Stamp>,
    /// Whether anything was applied since the start.
    has_applied: bool,
    /// Whether an attempt is noted that has not come to its end.
    is_noted: bool,
    /// How many events are still to be tried one by one.
    cautious: usize,
    /// By the messages that are being taken.
    carried: Carried,
}

impl Worker {
    /// A worker on a slot, which shows its pulse there.
    #[must_use]
    pub fn new(projector: Projector, (projection, partition): Slot, pulse: Arc<Pulse>) -> Self {
        Self {
            projector,
            target: Target::Live(projection),
            partition,
            pulse,
            checkpoint: 0,
            stamp: None,
            has_applied: false,
            is_noted: false,
            cautious: 0,
            carried: Carried::new(),
        }
    }

    const fn projection(&self) -> Projection {
        self.target.projection()
    }

    /// Works until stopped, the queue is closed, or something fails.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Arc<Message>>, stop: &CancellationToken) {
        let outcome = stop.run_until_cancelled(self.work(&mut messages)).await;
        if self.is_noted && !matches!(&outcome, Some(Err(error)) if error.is_unexplained()) {
            let (read_models, partition) = (&self.projector.read_models, self.partition);
            let note = checkpoint::end_attempt(read_models, self.target, partition, self.checkpoint);
            // Without an answer it stays, and makes the next attempts cautious: no harm.
            let _ = tokio::time::timeout(NOTE_WITHIN, note).await;
        }
        let Some(Err(error)) = outcome else { return };
        let (projection, partition, checkpoint) = (self.projection(), self.partition, self.checkpoint);
        if matches!(error, WorkerError::Apply(ApplyError::Stale { .. })) {
            // A rebuilt table was swapped in, or another worker was here.
            tracing::info!(%projection, %partition, checkpoint, "the checkpoint was moved by others; loading it again");
        } else {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, %projection, %partition, checkpoint, "a projection worker failed");
            self.projector.metrics.failed(projection);
        }
        if matches!(error, WorkerError::BeyondTheLog { .. }) {
            stop.run_until_cancelled(tokio::time::sleep(BEYOND_THE_LOG_PAUSE)).await;
        }
    }

    async fn work(&mut self, messages: &mut mpsc::Receiver<Arc<Message>>) -> Result<(), WorkerError> {
        let life = self.projector.progress.life();
        let held = checkpoint::load(&self.projector.read_models, self.target, self.partition).await;
        let held = held.map_err(WorkerError::Checkpoint)?;
        if held.version > self.projection().version() {
            self.projector.outdated.note(self.projection());
            return Ok(());
        }
        self.checkpoint = held.position;
        self.report(life);
        let head = settled_head(&self.projector.log, SETTLE_WITHIN).await.map_err(WorkerError::Log)?;
        // Where that is not known, messages say how far to go.
        if let Some(head) = head {
            if held.position > head {
                return Err(WorkerError::BeyondTheLog { position: held.position, head });
            }
            self.backfill(head).await?;
        }
        let mut batch = Vec::with_capacity(BATCH_MESSAGES);
        loop {
            self.pulse.beat();
            let received = messages.recv_many(&mut batch, BATCH_MESSAGES);
            match tokio::time::timeout(BEAT_EVERY, received).await {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    self.take(&batch).await?;
                    batch.clear();
                }
                // Nothing to do but to show that the worker is there.
                Err(_) => {}
            }
        }
    }

    /// Applies what is new in a batch of messages.
    async fn take(&mut self, batch: &[Arc<Message>]) -> Result<(), WorkerError> {
        let mut ready = Vec::with_capacity(batch.iter().map(|message| message.events.len()).sum());
        let mut reached = self.checkpoint;
        for message in batch {
            if are_made() {
                self.carried.extend(message.traceparents.clone());
            }
            if message.previous > reached || ready.len() >= BATCH_EVENTS {
                self.apply(std::mem::take(&mut ready), reached).await?;
                self.backfill(message.previous).await?;
                reached = self.checkpoint;
            }
            let known = message.events.partition_point(|event| event.position <= reached);
            ready.extend(message.events.iter().skip(known).cloned());
            reached = reached.max(message.events.last().map_or(reached, |event| event.position));
        }
        self.apply(ready, reached).await?;
        self.carried.clear();
        Ok(())
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
            self.apply(events, reached).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, batch: Vec<Arc<StoredEvent>>, reached: i64) -> Result<(), WorkerError> {
        if reached == self.checkpoint {
            return Ok(());
        }
        if !self.has_applied {
            self.begin().await?;
        }
        if self.cautious > 0 {
            for event in &batch {
                self.apply_alone(event).await?;
            }
            self.cautious = self.cautious.saturating_sub(batch.len());
        }
        if reached > self.checkpoint {
            let (life, events) = (self.projector.progress.life(), batch.len());
            let applied = self.apply_to_its_end(batch, reached).await?;
            self.moved_to(reached, events, applied, life);
        }
        Ok(())
    }

    /// Applies a batch, together with other workers' where it can be. It comes to its end also when the worker is stopped
    /// meanwhile: a transaction that is given up halfway would leave its connection in the middle of it.
    async fn apply_to_its_end(&mut self, batch: Vec<Arc<StoredEvent>>, reached: i64) -> Result<Applied, WorkerError> {
        let told = Applying::begin(&batch, &self.carried);
        let batch = Arc::new(batch);
        let applied = match self.apply_with_others(Arc::clone(&batch), reached).await {
            Some(stamp) => Applied { stamp: Some(stamp), ..Applied::default() },
            None => self.apply_by_itself(batch, reached).await?,
        };
        self.projector.metrics.applied((self.projection(), self.partition), told);
        Ok(applied)
    }

    /// `None` where the batch did not take effect.
    async fn apply_with_others(&mut self, batch: Arc<Vec<Arc<StoredEvent>>>, reached: i64) -> Option<Stamp> {
        let stamp = self.stamp.take().filter(|_| batch.len() <= TOGETHER_EVENTS)?;
        let (projection, partition, from) = (self.projection(), self.partition, self.checkpoint);
        let share = Share { projection, partition, from, stamp, to: reached, batch };
        self.projector.together.apply(share).await
    }

    async fn apply_by_itself(&self, batch: Arc<Vec<Arc<StoredEvent>>>, reached: i64) -> Result<Applied, WorkerError> {
        let read_models = self.projector.read_models.clone();
        let (target, partition, from) = (self.target, self.partition, self.checkpoint);
        let applying = async move { apply(&read_models, target, partition, from, reached, &batch).await };
        Ok(tokio::spawn(applying).await??)
    }

    /// Notes the first attempt since the start: whoever never comes to its end is seen by that at the next.
    async fn begin(&mut self) -> Result<(), WorkerError> {
        let read_models = &self.projector.read_models;
        let Attempts { attempts, suspect } =
            checkpoint::begin_attempt(read_models, self.target, self.partition, self.checkpoint)
                .await
                .map_err(WorkerError::Checkpoint)?;
        // With a suspect nothing was noted now: what was, is not this worker's to take back.
        self.is_noted = suspect.is_none();
        if suspect.is_some() || attempts > ATTEMPTS_BEFORE_CAUTION {
            let (projection, partition) = (self.projection(), self.partition);
            tracing::warn!(%projection, %partition, attempts, "attempts end without a word; trying events one by one");
            self.cautious = CAUTIOUS_EVENTS;
        }
        Ok(())
    }

    /// Applies one event by itself, noting beforehand that it is tried; parks it when that was noted too often. One
    /// worker of the process at a time, so that none is suspected for what another one's event does to the process.
    async fn apply_alone(&mut self, event: &Arc<StoredEvent>) -> Result<(), WorkerError> {
        let alone = Arc::clone(&self.projector.alone);
        let _turn = alone.lock().await;
        let life = self.projector.progress.life();
        let read_models = &self.projector.read_models;
        let noted =
            checkpoint::suspect(read_models, self.target, self.partition, self.checkpoint, event.position).await;
        let attempts = noted.map_err(WorkerError::Checkpoint)?.attempts;
        self.is_noted = true;
        let applied = if attempts > ATTEMPTS_BEFORE_PARKING {
            let (read_models, event) = (read_models.clone(), Arc::clone(event));
            let (target, from, parked) = (self.target, self.checkpoint, (event.customer_id.get(), event.position));
            let parking =
                async move { park_untried(&read_models, target, from, &event, &EndedSilently(attempts)).await };
            tokio::spawn(parking).await??;
            Applied { parkings: vec![parked], stamp: None }
        } else {
            self.stamp = None;
            self.apply_to_its_end(vec![Arc::clone(event)], event.position).await?
        };
        self.moved_to(event.position, 1, applied, life);
        Ok(())
    }

    fn moved_to(&mut self, position: i64, events: usize, applied: Applied, life: u64) {
        let Applied { parkings, stamp } = applied;
        (self.checkpoint, self.stamp) = (position, stamp);
        (self.has_applied, self.is_noted) = (true, false);
        self.pulse.applied(events);
        self.report(life);
        for (customer_id, position) in parkings {
            let projection = self.projection();
            tracing::error!(%projection, customer_id, position, "an event cannot be applied; its customer is parked");
        }
    }

    fn report(&self, life: u64) {
        self.projector.progress.set(life, self.projection(), self.partition, self.checkpoint);
    }
}
