//! Feeds the workers of this process from the log itself whenever NATS does not: none is configured, none answers, or
//! the one that answers delivers nothing (no JetStream, a full disk, no relay, a connection that only looks alive).

use std::collections::HashMap;
use std::time::Duration;

use projections::{PARTITIONS, Partition, Slot, slots};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::chain::Chain;
use crate::bus::wake::Follower;
use crate::store::reader::{last_in_partition, last_positions};
use crate::store::tail::{LogTail, Tailed, settled_head};

use super::outlet::Outlet;
use super::{Projector, Queues};

const LOOK_AT_WORKERS: Duration = Duration::from_millis(250);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const LOOK_FOR_CONNECTION: Duration = Duration::from_millis(20);
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How long the log is followed when NATS is there and delivers nothing, before NATS gets another chance.
const SPELL: Duration = Duration::from_secs(10);

/// Keeps the workers fed, until stopped.
pub(crate) async fn follow(projector: Projector, queues: Queues, stop: CancellationToken) {
    let watching = async {
        // A connection that is being made is not one that is missing.
        let _ = tokio::time::timeout(CONNECT_WITHIN, projector.connected()).await;
        // One watch for good: what is appended while the log is followed, it looks at afterwards.
        let mut watch = Watch::new(&projector, &queues);
        loop {
            if let Err(error) = watch_then_follow(&mut watch).await {
                tracing::warn!(%error, "following the log was interrupted");
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    stop.run_until_cancelled(watching).await;
}

/// Watches for as long as NATS delivers, then follows the log for a while.
async fn watch_then_follow(watch: &mut Watch<'_>) -> Result<(), sqlx::Error> {
    let mute = watch.until_nats_fails().await?;
    let until = mute.then(|| Instant::now() + SPELL);
    if mute {
        tracing::warn!("NATS is there but delivers nothing; workers follow the log for {SPELL:?}");
    } else {
        tracing::info!("no NATS; workers follow the log directly");
    }
    Following::new(watch.projector, watch.queues).run(until).await
}

impl Projector {
    fn hears_nats(&self) -> bool {
        self.bus.as_ref().is_some_and(|bus| bus.is_connected())
    }

    /// Until NATS is connected, or at once where none is configured.
    async fn connected(&self) {
        while self.bus.is_some() && !self.hears_nats() {
            tokio::time::sleep(LOOK_FOR_CONNECTION).await;
        }
    }
}

/// Whether NATS delivers: what the log holds, held against what the workers have applied.
struct Watch<'a> {
    projector: &'a Projector,
    queues: &'a Queues,
    /// The log has been looked at up to here.
    seen: i64,
    last: HashMap<Partition, i64>,
}

impl<'a> Watch<'a> {
    fn new(projector: &'a Projector, queues: &'a Queues) -> Self {
        Self { projector, queues, seen: 0, last: HashMap::new() }
    }

    /// Returns when there is no connection (`false`), or when workers stay behind although there is one (`true`).
    async fn until_nats_fails(&mut self) -> Result<bool, sqlx::Error> {
        let mut were_behind = Vec::new();
        loop {
            tokio::time::sleep(LOOK_AT_WORKERS).await;
            if !self.projector.hears_nats() {
                return Ok(false);
            }
            let behind = self.behind();
            // Behind at two looks in a row, with nothing applied between them.
            if behind.iter().any(|slot| were_behind.contains(slot)) {
                return Ok(true);
            }
            were_behind = behind;
            self.look().await?;
        }
    }

    async fn look(&mut self) -> Result<(), sqlx::Error> {
        let log = &self.projector.log;
        let Some(head) = settled_head(log, SETTLE_WITHIN).await? else { return Ok(()) };
        if self.seen == 0 {
            // The first look is at each partition's end, not at the whole log.
            for partition in Partition::all() {
                self.last.insert(partition, last_in_partition(log, partition, head).await?);
            }
        } else if head > self.seen {
            self.last.extend(last_positions(log, self.seen, head).await?);
        }
        self.seen = head;
        Ok(())
    }

    /// Workers of this process that have not applied what their partition holds, and how far they are.
    fn behind(&self) -> Vec<(Slot, i64)> {
        let queues = self.queues.snapshot();
        let positions = queues.keys().map(|slot| (*slot, self.projector.progress.position(slot.0, slot.1)));
        positions.filter(|((_, partition), at)| self.last.get(partition).is_some_and(|last| at < last)).collect()
    }
}

/// A stretch of following the log.
struct Following<'a> {
    projector: &'a Projector,
    queues: &'a Queues,
    outlet: Outlet,
}

impl<'a> Following<'a> {
    fn new(projector: &'a Projector, queues: &'a Queues) -> Self {
        // It feeds all partitions: none waits for another one's worker.
        Self { projector, queues, outlet: Outlet::new(queues.clone(), Duration::ZERO) }
    }

    /// Follows until then, or without an end of its own until NATS is connected.
    async fn run(mut self, until: Option<Instant>) -> Result<(), sqlx::Error> {
        let start = match settled_head(&self.projector.log, SETTLE_WITHIN).await? {
            Some(head) => head,
            // What is settled is not known: read on from where the slowest worker is.
            None => self.slowest(),
        };
        let mut chain = Chain::new([start; PARTITIONS as usize]);
        // Whatever a worker still lacks, it fetches on hearing how far the log is.
        self.outlet.owe(slots(), start);
        let mut tail = LogTail::new(self.projector.log.clone(), start);
        loop {
            self.outlet.settle().await;
            let over = match until {
                Some(until) => Instant::now() >= until,
                None => self.projector.hears_nats(),
            };
            match tail.next().await? {
                Tailed::Events(events) => {
                    for (partition, message) in chain.link(events) {
                        self.outlet.deliver(partition, message).await;
                    }
                }
                Tailed::AtHead if over && self.outlet.owes_nothing() => return Ok(()),
                Tailed::AtHead => self.projector.wake.wait(Follower::Local).await,
                Tailed::Held(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn slowest(&self) -> i64 {
        let queues = self.queues.snapshot();
        queues.keys().map(|slot| self.projector.progress.position(slot.0, slot.1)).min().unwrap_or(0)
    }
}
