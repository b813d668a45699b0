//! How far the read models have come, for whoever waits for a write to become visible.
//!
//! Workers of this process report their checkpoints as they commit them. For workers elsewhere the checkpoints are
//! read from the database, but only while somebody waits. When the database comes back from a crash, all of that is
//! forgotten: its last commits may be gone. What a client was promised to see is waited for whatever comes; what a
//! command shows of its own accord is waited for only where somebody keeps the read model ([`kept`]).

mod kept;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use projections::{Partition, Projection, SLOTS, checkpoint, slot_index, workers};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::databases::Lives;
use crate::store::reader::last_in_partition;
use crate::store::tail::settled_head;

use self::kept::Kept;

const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_AT_WORKERS_EVERY: Duration = Duration::from_secs(1);
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// How far a projection has come in a partition, as far as this process knows.
#[derive(Debug, Clone, Copy)]
struct Reached {
    position: i64,
    is_kept: bool,
}

/// The last applied position of every projection and partition.
pub struct Progress {
    slots: Vec<watch::Sender<Reached>>,
    lives: Lives,
    /// In which life of the database the slots were reported.
    life: AtomicU64,
    waiting: AtomicUsize,
    someone_waits: Notify,
}

/// Counts a waiter for as long as it lives.
struct Waiting<'a>(&'a Progress);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Progress {
    /// Nothing known yet.
    #[must_use]
    pub fn new(lives: Lives) -> Self {
        let slots = (0..SLOTS).map(|_| watch::Sender::new(Reached { position: 0, is_kept: true })).collect();
        let (life, waiting) = (AtomicU64::new(lives.count()), AtomicUsize::new(0));
        Self { slots, lives, life, waiting, someone_waits: Notify::new() }
    }

    /// In which life the database is. What was known in an earlier one is forgotten by this.
    pub fn life(&self) -> u64 {
        let life = self.lives.count();
        if self.life.swap(life, Ordering::SeqCst) != life {
            self.forget();
        }
        life
    }

    fn forget(&self) {
        for slot in &self.slots {
            slot.send_modify(|at| at.position = 0);
        }
    }

    fn slot(&self, projection: Projection, partition: Partition) -> &watch::Sender<Reached> {
        &self.slots[slot_index((projection, partition))]
    }

    /// How far a worker has come, as far as this process knows.
    #[must_use]
    pub fn position(&self, projection: Projection, partition: Partition) -> i64 {
        self.slot(projection, partition).borrow().position
    }

    /// A worker of this process stands at `position`, in that life of the database; after a crash it may be earlier
    /// than before.
    pub fn set(&self, life: u64, projection: Projection, partition: Partition, position: i64) {
        if self.life() == life {
            self.slot(projection, partition).send_modify(|at| at.position = position);
        }
    }

    /// A checkpoint was read; what a worker has reported since stands.
    fn raise(&self, projection: Projection, partition: Partition, position: i64) {
        self.slot(projection, partition).send_if_modified(|at| {
            let rises = position > at.position;
            at.position = position.max(at.position);
            rises
        });
    }

    /// Waits until every read model has applied the partition up to `position`; `false` when that takes longer than
    /// `at_most`.
    pub async fn reached(&self, partition: Partition, position: i64, at_most: Duration) -> bool {
        self.all(partition, at_most, |at| at.position >= position).await
    }

    /// As [`Progress::reached`], but for read models that nobody keeps.
    pub async fn reached_where_kept(&self, partition: Partition, position: i64, at_most: Duration) -> bool {
        self.all(partition, at_most, |at| at.position >= position || !at.is_kept).await
    }

    async fn all(&self, partition: Partition, at_most: Duration, is_there: impl Fn(&Reached) -> bool) -> bool {
        let _waiting = self.waiting();
        self.life();
        let all = async {
            for projection in Projection::ALL {
                // The sender lives as long as `self`, so waiting ends only by being there.
                let _ = self.slot(projection, partition).subscribe().wait_for(&is_there).await;
            }
        };
        tokio::time::timeout(at_most, all).await.is_ok()
    }

    /// Waits until every read model that somebody keeps has applied what the log now holds; `false` when that takes
    /// longer than `at_most`.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn caught_up(&self, log: &PgPool, at_most: Duration) -> Result<bool, sqlx::Error> {
        let until = Instant::now() + at_most;
        let Some(head) = settled_head(log, at_most.min(SETTLE_WITHIN)).await? else { return Ok(false) };
        for partition in Partition::all() {
            let position = last_in_partition(log, partition, head).await?;
            if !self.reached_where_kept(partition, position, until.saturating_duration_since(Instant::now())).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.someone_waits.notify_one();
        Waiting(self)
    }

    /// Reads the checkpoints while somebody waits, until stopped.
    pub async fn watch_database(&self, read_models: &PgPool, stop: CancellationToken) {
        let watching = async {
            let (mut kept, mut looked_at_workers) = (Kept::new(), None::<Instant>);
            loop {
                if self.waiting.load(Ordering::Relaxed) == 0 {
                    self.until_somebody_waits(kept.is_any_unkept()).await;
                }
                tokio::time::sleep(LOOK_EVERY).await;
                if looked_at_workers.is_none_or(|at| at.elapsed() >= LOOK_AT_WORKERS_EVERY) {
                    self.look_at_workers(read_models, &mut kept).await;
                    looked_at_workers = Some(Instant::now());
                }
                if self.waiting.load(Ordering::Relaxed) > 0 {
                    self.look(read_models).await;
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// Where something is not waited for, it is looked at all the same: whoever begins to keep it is waited for.
    async fn until_somebody_waits(&self, is_any_unkept: bool) {
        let somebody_waits = self.someone_waits.notified();
        if is_any_unkept {
            // Elapsing is the other way to be woken, not an error.
            let _ = tokio::time::timeout(LOOK_AT_WORKERS_EVERY, somebody_waits).await;
        } else {
            somebody_waits.await;
        }
    }

    async fn look_at_workers(&self, read_models: &PgPool, kept: &mut Kept) {
        match workers::all(read_models).await {
            Ok(heard) => {
                for ((projection, partition), is_kept) in kept.heard(&heard, Instant::now()) {
                    self.slot(projection, partition)
                        .send_if_modified(|at| std::mem::replace(&mut at.is_kept, is_kept) != is_kept);
                }
            }
            Err(error) => tracing::debug!(%error, "could not read who keeps the read models"),
        }
    }

    async fn look(&self, read_models: &PgPool) {
        let life = self.life();
        match checkpoint::load_all(read_models).await {
            // Read over a connection from before a crash, they are of an earlier life.
            Ok(_) if self.life() != life => {}
            Ok(checkpoints) => {
                for (projection, partition, checkpoint) in checkpoints {
                    self.raise(projection, partition, checkpoint.position);
                }
            }
            Err(error) => {
                // A database that crashed may come back with earlier checkpoints: believe nothing until they are read.
                self.forget();
                tracing::debug!(%error, "could not read the checkpoints");
            }
        }
    }
}
