//! Waking whoever follows the log as soon as something was appended, in this process or another.
//!
//! A hint only: followers also look by themselves every [`LOOK_BY_ITSELF`], so a lost hint costs that much time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Bus;

/// How long a follower waits without a hint.
pub const LOOK_BY_ITSELF: Duration = Duration::from_millis(20);
const HINT_WITHIN: Duration = Duration::from_millis(10);
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// The hint.
#[derive(Clone, Default)]
pub struct Wake {
    followers: Arc<Followers>,
    bus: Option<Bus>,
    /// By which this process knows its own hints.
    sender: Bytes,
}

#[derive(Default)]
struct Followers {
    relay: Notify,
    local: Notify,
    cache: Notify,
}

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follower {
    /// The relay.
    Relay,
    /// Workers that follow the log directly.
    Local,
    /// What is kept in memory.
    Cache,
}

impl Wake {
    /// `others`: where followers in other processes are to be woken, too.
    #[must_use]
    pub fn new(others: Option<Bus>) -> Self {
        let sender = Bytes::copy_from_slice(uuid::Uuid::now_v7().as_bytes());
        Self { followers: Arc::default(), bus: others, sender }
    }

    fn of(&self, follower: Follower) -> &Notify {
        match follower {
            Follower::Relay => &self.followers.relay,
            Follower::Local => &self.followers.local,
            Follower::Cache => &self.followers.cache,
        }
    }

    fn hint(&self) {
        for follower in [Follower::Relay, Follower::Local, Follower::Cache] {
            self.of(follower).notify_one();
        }
    }

    /// Something was appended.
    pub async fn appended(&self) {
        self.hint();
        if let Some(bus) = self.bus.as_ref().filter(|bus| bus.is_connected() && bus.hinting.may_try(Instant::now())) {
            // Only a hint, and never worth a wait: whoever misses it looks by itself soon.
            let hint = bus.client.publish(bus.wake_subject(), self.sender.clone());
            match tokio::time::timeout(HINT_WITHIN, hint).await {
                Ok(_) => bus.hinting.succeeded(),
                Err(elapsed) => {
                    bus.hinting.failed(Instant::now());
                    tracing::debug!(%elapsed, "could not wake the relay");
                }
            }
        }
    }

    /// Until something was appended, or it is time to look anyway.
    pub async fn wait(&self, follower: Follower) {
        // Elapsing is the other way to be woken, not an error.
        let _ = tokio::time::timeout(LOOK_BY_ITSELF, self.of(follower).notified()).await;
    }

    /// Passes hints of other processes on, until stopped.
    pub async fn listen(self, bus: Bus, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match bus.client.subscribe(bus.wake_subject()).await {
                Ok(mut hints) => {
                    while let Some(Some(hint)) = stop.run_until_cancelled(hints.next()).await {
                        if hint.payload != self.sender {
                            self.hint();
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "could not listen for hints"),
            }
            stop.run_until_cancelled(tokio::time::sleep(SUBSCRIBE_AGAIN)).await;
        }
    }
}
