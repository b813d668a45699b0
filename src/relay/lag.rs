//! How far the stream is behind the log, for whoever asks in whichever process: the relay that works may be another's,
//! and there may be none.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;

use crate::bus::Bus;
use crate::store::reader::{Pending, pending_after};

/// What answers later is not waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Up to so many events are counted.
const COUNTED_EVENTS: i64 = 10_000;

/// What the log holds and the stream does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayLag {
    /// How many events, counted up to ten thousand.
    pub events: i64,
    /// The age of the oldest of them.
    pub age: Duration,
}

/// Asks how far the stream is. While NATS does not answer, it is held to be where it was last seen.
pub struct RelayWatch {
    log: PgPool,
    bus: Bus,
    /// 0 before it was ever seen.
    seen: AtomicI64,
}

impl RelayWatch {
    /// Of that log and that stream.
    #[must_use]
    pub const fn new(log: PgPool, bus: Bus) -> Self {
        Self { log, bus, seen: AtomicI64::new(0) }
    }

    /// The lag; `None` where the stream has not been seen to hold anything of this log.
    ///
    /// # Errors
    /// When the log's database does not answer.
    pub async fn lag(&self) -> Result<Option<RelayLag>, sqlx::Error> {
        // While there is no connection, a request would only wait.
        if self.bus.is_connected()
            && let Ok(Ok(Some(position))) = tokio::time::timeout(ANSWER_WITHIN, self.bus.stream_position()).await
        {
            self.seen.store(position, Ordering::Relaxed);
        }
        let position = self.seen.load(Ordering::Relaxed);
        if position == 0 {
            return Ok(None);
        }
        let pending = pending_after(&self.log, position, COUNTED_EVENTS).await?;
        let lag = |Pending { events, age_milliseconds, .. }| RelayLag {
            events,
            age: Duration::from_millis(u64::try_from(age_milliseconds).unwrap_or(0)),
        };
        Ok(Some(pending.map(lag).unwrap_or_default()))
    }
}
