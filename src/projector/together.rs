//! What the workers of this process have ready at the same time, applied in one round trip for each read model.

use std::collections::HashMap;
use std::time::Duration;

use projections::checkpoint::Stamp;
use projections::together::{Share, apply_together};
use projections::{PARTITIONS, Projection, Target};
use sqlx::PgPool;

use crate::databases::connections::Connections;
use crate::gather::Gatherer;

/// One statement of a read model at a time: the more there is to do, the more each of them does.
const TURNS: usize = 1;
/// For a turn; then a worker goes by itself.
const WAIT: Duration = Duration::from_secs(1);

/// Gathers what workers have ready.
pub struct Together {
    read_models: Connections,
    /// By [`Projection::index`].
    gatherers: [Gatherer<Share, Option<Stamp>>; Projection::ALL.len()],
}

impl Together {
    /// On connections to the read models.
    #[must_use]
    pub fn new(read_models: PgPool) -> Self {
        let read_models = Connections::kept(read_models);
        Self { read_models, gatherers: Projection::ALL.map(|_| Gatherer::new(TURNS, PARTITIONS.into())) }
    }

    /// Gives back to the pool what was not used for a while.
    pub(super) fn give_back_old(&self) {
        self.read_models.give_back_old();
    }

    /// Applies a worker's share together with others'. Answers its checkpoint's new stamp; `None` where it did not take
    /// effect, and the worker has to see for itself.
    pub async fn apply(&self, projection: Projection, share: Share) -> Option<Stamp> {
        let together = |shares| apply_all(self.read_models.clone(), Target::Live(projection), shares);
        self.gatherers[projection.index()].ask(share, WAIT, together).await.ok().flatten()
    }
}

async fn apply_all(read_models: Connections, target: Target, shares: Vec<Share>) -> Vec<Option<Stamp>> {
    let mut stamps = apply_together(&read_models, target, &shares).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "workers could not apply together, and go on by themselves");
        HashMap::new()
    });
    shares.iter().map(|share| stamps.remove(&share.partition)).collect()
}
