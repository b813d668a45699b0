//! What the workers of this process have ready at the same time, applied in one round trip for all read models.
//!
//! No read model waits for another one's table: where one is locked, the statement is given up, and the workers go on by
//! themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use projections::SLOTS;
use projections::checkpoint::Stamp;
use projections::together::{Share, apply_together};
use sqlx::PgPool;

use crate::databases::connections::Connections;
use crate::gather::Gatherer;

/// For a turn; then a worker goes by itself.
const WAIT: Duration = Duration::from_secs(1);
/// Longer than the database lets a statement take: its connection may be there no more.
const ANSWER_WITHIN: Duration = Duration::from_secs(7);
/// After a statement that failed each goes by itself for so long.
const APART: Duration = Duration::from_secs(1);

/// Gathers what workers have ready.
pub struct Together {
    read_models: Connections,
    gatherer: Gatherer<Share, Option<Stamp>>,
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Together {
    /// On connections to the read models that give up when they have waited for a lock for a moment.
    #[must_use]
    pub fn new(impatient: PgPool) -> Self {
        Self { read_models: Connections::kept(impatient), gatherer: Gatherer::new(SLOTS), failed: Arc::default() }
    }

    /// Gives back to the pool what was not used for a while.
    pub(super) fn give_back_old(&self) {
        self.read_models.give_back_old();
    }

    /// Applies a worker's share together with others'. Answers its checkpoint's new stamp; `None` where it did not take
    /// effect, and the worker has to see for itself.
    pub async fn apply(&self, share: Share) -> Option<Stamp> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|at| at.elapsed() < APART) {
            return None;
        }
        let together = |shares| apply_all(self.read_models.clone(), Arc::clone(&self.failed), shares);
        self.gatherer.ask(share, WAIT, together).await.ok().flatten()
    }
}

async fn apply_all(
    read_models: Connections,
    failed: Arc<Mutex<Option<Instant>>>,
    shares: Vec<Share>,
) -> Vec<Option<Stamp>> {
    let applied = tokio::time::timeout(ANSWER_WITHIN, apply_together(&read_models, &shares)).await;
    let applied = applied.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()));
    let mut stamps = applied.unwrap_or_else(|error| {
        tracing::debug!(%error, "workers could not apply together, and go on by themselves");
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        HashMap::new()
    });
    shares.iter().map(|share| stamps.remove(&(share.projection, share.partition))).collect()
}
