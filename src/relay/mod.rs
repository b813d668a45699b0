//! The relay: publishes the log to JetStream, in order, without a gap.
//!
//! One relay works at a time: it holds an advisory lock, and the others stand by. It keeps no record of its own
//! progress but resumes from what the stream last holds, and publishes markers, from which workers see what they must
//! fetch from the log. Two relays at once, after a lost connection, would cost duplicates and nothing else.

pub mod lag;
mod metrics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use projections::{PARTITIONS, Partition};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::bus::chain::Chain;
use crate::bus::wake::{Follower, Wake};
use crate::bus::{Bus, BusError};
use crate::store::reader::last_in_partition;
use crate::store::tail::{LogTail, Tailed, settled_head};

pub use self::metrics::RelayMetrics;

const LOCK_CLASS: i32 = 0x4352;
const LOCK_RELAY: i32 = 1;
/// After a batch of several commands: what is appended meanwhile goes together in the next one.
const REST: Duration = Duration::from_millis(2);
/// A command leads to so many events at most, nearly always.
const OF_ONE_COMMAND: usize = 2;
const STAND_BY: Duration = Duration::from_millis(500);
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(500);
const CONFIRM_LOCK_EVERY: Duration = Duration::from_secs(1);

/// Why relaying was interrupted; it is taken up again.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the log did not answer")]
    Log(#[from] sqlx::Error),
    #[error("the stream did not take the events")]
    Bus(#[from] BusError),
}

/// The relay's parts.
pub struct Relay {
    /// The log's connections.
    pub log: PgPool,
    /// Where to publish.
    pub bus: Bus,
    /// Who says that something was appended.
    pub wake: Wake,
    /// What is counted of it.
    pub metrics: Arc<RelayMetrics>,
}

impl Relay {
    /// Relays until stopped, standing by while another relay works.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if !self.bus.may_publish() {
                stop.run_until_cancelled(tokio::time::sleep(STAND_BY)).await;
                continue;
            }
            let outcome = match self.lock().await {
                Ok(Some(lock)) => stop.run_until_cancelled(self.work(lock)).await,
                Ok(None) => None,
                Err(error) => Some(Err(error.into())),
            };
            let pause = match outcome {
                Some(Err(error)) => {
                    if matches!(error, Interrupted::Bus(_)) {
                        self.bus.took_nothing();
                    }
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the relay was interrupted and tries again");
                    self.metrics.interrupted();
                    RETRY
                }
                Some(Ok(())) | None => STAND_BY,
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// A connection that holds the relay's lock, `None` while another one does.
    async fn lock(&self) -> Result<Option<PgConnection>, sqlx::Error> {
        let mut connection = self.log.acquire().await?.detach();
        let held: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
            .bind(LOCK_CLASS)
            .bind(LOCK_RELAY)
            .fetch_one(&mut connection)
            .await?;
        if held {
            return Ok(Some(connection));
        }
        connection.close().await?;
        Ok(None)
    }

    async fn work(&self, mut lock: PgConnection) -> Result<(), Interrupted> {
        let (mut tail, mut chain) = self.resume().await?;
        tracing::info!(position = tail.position(), "relaying");
        let _working = self.metrics.working();
        let mut confirmed = tokio::time::Instant::now();
        // A lost connection may have taken messages that were held but not yet on disk: then it resumes.
        while self.bus.is_connected() {
            if confirmed.elapsed() > CONFIRM_LOCK_EVERY {
                // The lock goes with its connection: ask whether that is still there.
                lock.ping().await?;
                confirmed = tokio::time::Instant::now();
            }
            match tail.next().await? {
                Tailed::Events(events) => {
                    let is_busy = events.len() > OF_ONE_COMMAND;
                    let (mut messages, began) = (chain.link(events), Instant::now());
                    self.bus.publish(&mut messages).await?;
                    self.metrics.published(messages.iter().map(|(_, message)| message), began);
                    if is_busy {
                        tokio::time::sleep(REST).await;
                    }
                }
                Tailed::AtHead => self.wake.wait(Follower::Relay).await,
                Tailed::Held(pause) => tokio::time::sleep(pause).await,
            }
        }
        Ok(())
    }

    /// Takes up where the stream ends, and says how far each partition has come: of the last batch before an
    /// interruption the stream may hold some messages and lack others.
    async fn resume(&self) -> Result<(LogTail, Chain), Interrupted> {
        let stream = self.bus.ensure_stream().await?;
        let head = settled_head(&self.log, SETTLE_WITHIN).await?;
        // A position beyond the head is of a log that was restored to an earlier day.
        let held = self.bus.last_position(&stream).await?;
        let known = held.filter(|position| head.is_none_or(|head| *position <= head));
        let position = known.or(head).unwrap_or(0);
        let mut last = [0; PARTITIONS as usize];
        for partition in Partition::all() {
            last[partition.index()] = last_in_partition(&self.log, partition, position).await?;
        }
        let chain = Chain::new(last);
        self.bus.publish(&mut chain.markers(position)).await?;
        Ok((LogTail::new(self.log.clone(), position), chain))
    }
}
