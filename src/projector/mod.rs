//! Projection workers: one for every projection and partition that this process holds.
//!
//! Supply and application are apart. Messages come from JetStream ([`feed`]) or, with NATS missing or gone, from the log
//! itself ([`follow`]), by way of an [`outlet`]; a [`worker`] applies them whatever their order, repetition or gaps.
//! [`lease`] says which workers are this process's.

mod feed;
pub mod follow;
pub mod lease;
mod metrics;
mod outlet;
pub mod pulse;
mod together;
pub mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use projections::workers::{Beat, beat};
use projections::{PARTITIONS, Partition, Projection, Slot};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::bus::message::Message;
use crate::bus::wake::Wake;
use crate::progress::Progress;

use self::feed::feed;
use self::lease::Leases;
pub use self::metrics::WorkerMetrics;
use self::pulse::{Pulse, Rate};
pub use self::together::Together;
use self::worker::Worker;

const LOOK_AFTER_WORKERS: Duration = Duration::from_millis(500);
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Each of up to [`crate::bus::chain::MESSAGE_BYTES`].
const QUEUE_MESSAGES: usize = 32;

type Queue = mpsc::Sender<Arc<Message>>;

/// Where messages for the running workers go.
#[derive(Clone, Default)]
pub struct Queues(Arc<Mutex<Outlets>>);

#[derive(Default)]
struct Outlets {
    queues: HashMap<Slot, Queue>,
    /// How far each partition has been told of, by [`Partition::index`].
    told: [i64; PARTITIONS as usize],
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, Outlets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new worker's. First of all it hears how far its partition has been told of: what its predecessor was handed may
    /// be gone with that one.
    fn insert(&self, slot: Slot, queue: Queue) {
        let mut outlets = self.lock();
        let told = outlets.told[slot.1.index()];
        // It is new, so there is room.
        let _ = queue.try_send(Arc::new(Message::marker(told, told)));
        outlets.queues.insert(slot, queue);
    }

    fn remove(&self, slot: Slot) {
        self.lock().queues.remove(&slot);
    }

    fn snapshot(&self) -> HashMap<Slot, Queue> {
        self.lock().queues.clone()
    }

    /// Of those who work on a partition, which is told of up to there.
    fn telling(&self, partition: Partition, reached: i64) -> Vec<(Slot, Queue)> {
        let mut outlets = self.lock();
        let told = &mut outlets.told[partition.index()];
        *told = reached.max(*told);
        let own = outlets.queues.iter().filter(|((_, of), _)| *of == partition);
        own.map(|(slot, queue)| (*slot, queue.clone())).collect()
    }
}

/// Read models that a newer version of the product has taken over: their partitions are left to its processes.
#[derive(Clone, Default)]
pub struct Outdated(Arc<Mutex<HashSet<Projection>>>);

impl Outdated {
    fn note(&self, projection: Projection) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(projection) {
            tracing::warn!(%projection, "a newer version of the product keeps this read model now; leaving it to it");
        }
    }

    fn contains(&self, projection: Projection) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&projection)
    }
}

/// What the workers of a process share.
#[derive(Clone)]
pub struct Projector {
    /// This process's name, for whoever looks at heartbeats.
    pub process: String,
    /// Connections to the log.
    pub log: PgPool,
    /// Connections to the read models.
    pub read_models: PgPool,
    /// Where events come from; without it, from the log.
    pub bus: Option<Bus>,
    /// Who says that something was appended.
    pub wake: Wake,
    /// Where checkpoints are reported.
    pub progress: Arc<Progress>,
    /// What this version of the product no longer keeps.
    pub outdated: Outdated,
    /// What is counted of the workers.
    pub metrics: Arc<WorkerMetrics>,
    /// What workers apply together.
    pub together: Arc<Together>,
    /// Whose turn it is among the workers that try events one by one.
    pub alone: Arc<tokio::sync::Mutex<()>>,
}

impl Projector {
    /// Runs the workers of this process until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let queues = Queues::default();
        let follower = tokio::spawn(follow::follow(self.clone(), queues.clone(), stop.clone()));
        while !stop.is_cancelled() {
            if let Err(error) = self.hold_leases(&queues, &stop).await {
                tracing::warn!(%error, "the leases were lost; workers start again");
            }
            stop.run_until_cancelled(tokio::time::sleep(LOOK_AFTER_WORKERS)).await;
        }
        if let Err(error) = follower.await {
            tracing::error!(%error, "the log's follower failed");
        }
    }

    /// Takes its share of the leases and keeps their workers running, for as long as the leases hold.
    async fn hold_leases(&self, queues: &Queues, stop: &CancellationToken) -> Result<(), sqlx::Error> {
        let mut leases = Leases::open(&self.read_models).await?;
        let held = stop.child_token();
        let mut workers = Workers::default();
        // Shown until each of them has begun to go round, then every now and then.
        let mut beaten: Option<Instant> = None;
        let outcome = loop {
            if let Err(error) = self.keep_share(&mut leases, &mut workers, queues, &held).await {
                break Err(error);
            }
            self.together.give_back_old();
            if beaten.is_none_or(|at| at.elapsed() >= BEAT_EVERY) {
                match self.beat(&mut workers).await {
                    Ok(false) => {}
                    Ok(true) => beaten = Some(Instant::now()),
                    Err(error) => break Err(error),
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_AFTER_WORKERS)).await.is_none() {
                break Ok(());
            }
        };
        held.cancel();
        let ending = workers.running.into_values().chain(workers.feeds.into_values());
        join_all(ending.map(Running::end)).await;
        outcome
    }

    /// Shows that the workers are alive, those that are; `false` while some of them have not gone round yet.
    async fn beat(&self, workers: &mut Workers) -> Result<bool, sqlx::Error> {
        let held = workers.pulses.iter_mut().filter(|(slot, _)| workers.running.contains_key(slot));
        let beats = held.filter_map(|((projection, partition), (pulse, rate))| {
            let (age, events_per_second) = (pulse.age()?, rate.per_second(pulse.total()));
            Some(Beat { projection: *projection, partition: *partition, age, events_per_second })
        });
        let beats: Vec<Beat> = beats.collect();
        beat(&self.read_models, &self.process, &beats).await?;
        Ok(!beats.is_empty() && beats.len() == workers.running.len())
    }

    /// Takes what is free of this process's share, gives back what is beyond it, and starts the workers that are
    /// missing.
    async fn keep_share(
        &self,
        leases: &mut Leases,
        workers: &mut Workers,
        queues: &Queues,
        stop: &CancellationToken,
    ) -> Result<(), sqlx::Error> {
        let beyond = leases.acquire(|projection| !self.outdated.contains(projection)).await?;
        for slot in &beyond {
            queues.remove(*slot);
            workers.pulses.remove(slot);
            if let Some(worker) = workers.running.remove(slot) {
                worker.end().await;
            }
        }
        leases.release(&beyond).await?;
        for slot in leases.held() {
            if !workers.running.get(slot).is_some_and(Running::is_running) {
                let (pulse, _) = workers.pulses.entry(*slot).or_insert_with(|| (Arc::default(), Rate::new()));
                let worker = self.start(*slot, Arc::clone(pulse), queues, stop.child_token());
                workers.running.insert(*slot, worker);
            }
        }
        self.keep_feeds(leases.held(), &mut workers.feeds, queues, stop).await;
        Ok(())
    }

    /// Lets those partitions be fed that a worker of this process is there for.
    async fn keep_feeds(
        &self,
        held: &[Slot],
        feeds: &mut HashMap<Partition, Running>,
        queues: &Queues,
        stop: &CancellationToken,
    ) {
        let Some(bus) = &self.bus else { return };
        for partition in Partition::all() {
            let is_wanted = held.iter().any(|(_, of)| *of == partition);
            match feeds.get(&partition) {
                Some(feed) if is_wanted && feed.is_running() => {}
                Some(_) if !is_wanted => {
                    if let Some(feed) = feeds.remove(&partition) {
                        feed.end().await;
                    }
                }
                None if !is_wanted => {}
                Some(_) | None => {
                    let stop = stop.child_token();
                    let task = tokio::spawn(feed(bus.clone(), partition, queues.clone(), stop.clone()));
                    feeds.insert(partition, Running { stop, task });
                }
            }
        }
    }

    fn start(&self, slot: Slot, pulse: Arc<Pulse>, queues: &Queues, stop: CancellationToken) -> Running {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        queues.insert(slot, queue);
        let worker = Worker::new(self.clone(), slot, pulse);
        let stopping = stop.clone();
        let task = tokio::spawn(async move { worker.run(messages, &stopping).await });
        Running { stop, task }
    }
}

/// A worker or a feed.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The workers of this process, what feeds them, and the pulses of their slots: one that fails again and again has the same as before.
#[derive(Default)]
struct Workers {
    running: HashMap<Slot, Running>,
    feeds: HashMap<Partition, Running>,
    pulses: HashMap<Slot, (Arc<Pulse>, Rate)>,
}

impl Running {
    fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    async fn end(self) {
        self.stop.cancel();
        // Whoever panicked has said so; it is over either way.
        let _ = self.task.await;
    }
}
