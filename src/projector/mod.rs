//! Projection workers: one for every projection and partition that this process holds.
//!
//! Supply and application are apart. Deliveries come from JetStream ([`feed`]) or, with NATS missing or gone, from
//! the log itself ([`follow`]); a [`worker`] applies them whatever their order, repetition or gaps. [`lease`] says
//! which workers are this process's.

pub mod feed;
pub mod follow;
pub mod lease;
pub mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use projections::{Partition, Projection};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::bus::message::Delivery;
use crate::bus::wake::Wake;
use crate::progress::Progress;

use self::lease::Leases;
use self::worker::Worker;

const LOOK_AFTER_WORKERS: Duration = Duration::from_millis(500);
const QUEUE_DELIVERIES: usize = 2000;

/// A worker's place: which read model, which partition.
pub type Slot = (Projection, Partition);

/// All places there are.
fn slots() -> impl Iterator<Item = Slot> {
    Projection::ALL.into_iter().flat_map(|projection| Partition::all().map(move |partition| (projection, partition)))
}

/// Where the deliveries of the running workers go.
#[derive(Clone, Default)]
pub struct Queues(Arc<Mutex<HashMap<Slot, mpsc::Sender<Delivery>>>>);

impl Queues {
    fn insert(&self, slot: Slot, queue: mpsc::Sender<Delivery>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, queue);
    }

    fn snapshot(&self) -> HashMap<Slot, mpsc::Sender<Delivery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the workers of a process share.
#[derive(Clone)]
pub struct Projector {
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

    /// Takes what leases it can get and keeps their workers running, for as long as the leases hold.
    async fn hold_leases(&self, queues: &Queues, stop: &CancellationToken) -> Result<(), sqlx::Error> {
        let mut leases = Leases::open(&self.read_models).await?;
        let held = stop.child_token();
        let mut workers: HashMap<Slot, JoinHandle<()>> = HashMap::new();
        let outcome = loop {
            match leases.acquire().await {
                Ok(slots) => self.start_missing(slots, &mut workers, queues, &held),
                Err(error) => break Err(error),
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_AFTER_WORKERS)).await.is_none() {
                break Ok(());
            }
        };
        held.cancel();
        for (_, worker) in workers {
            // A worker that panicked has said so; it is over either way.
            let _ = worker.await;
        }
        outcome
    }

    fn start_missing(
        &self,
        held: &[Slot],
        workers: &mut HashMap<Slot, JoinHandle<()>>,
        queues: &Queues,
        stop: &CancellationToken,
    ) {
        for slot in held {
            if workers.get(slot).is_some_and(|worker| !worker.is_finished()) {
                continue;
            }
            let (queue, deliveries) = mpsc::channel(QUEUE_DELIVERIES);
            queues.insert(*slot, queue.clone());
            let worker = Worker::new(self.clone(), *slot);
            let stop = stop.child_token();
            let feed = self.bus.clone().map(|bus| tokio::spawn(feed::feed(bus, *slot, queue, stop.clone())));
            workers.insert(
                *slot,
                tokio::spawn(async move {
                    worker.run(deliveries, &stop).await;
                    stop.cancel();
                    if let Some(feed) = feed {
                        // As above: what a feed has to say it has logged.
                        let _ = feed.await;
                    }
                }),
            );
        }
    }
}
