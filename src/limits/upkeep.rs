//! What runs beside the limits: leases, giving back what is not used, and the purge of windows that are over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::lessor::Lessor;
use super::subjects::Subjects;
use super::windows;

const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// What is not used for so long, others may need.
const UNUSED_FOR: Duration = Duration::from_secs(60);
const PURGE_EVERY: Duration = Duration::from_secs(5 * 60);
const BATCH: usize = 256;
/// The rest comes in the next round.
const MAX_BATCHES: usize = 8;
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(5);

/// What runs beside the limits.
pub struct Upkeep {
    pub(super) lessor: Lessor,
    pub(super) subjects: Arc<Subjects>,
    pub(super) pool: PgPool,
    pub(super) counts: Counts,
}

impl Upkeep {
    /// Runs until stopped; gives back then what was not spent, so that a restart costs no caller anything.
    pub async fn run(self, stop: CancellationToken) {
        let Self { lessor, subjects, pool, counts } = self;
        let tidying = async {
            let mut purged = (Instant::now(), 0);
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                counts.subjects.set(i64::try_from(subjects.len()).unwrap_or(i64::MAX));
                give_back(&subjects, &pool, &counts, UNUSED_FOR, MAX_BATCHES * BATCH).await;
                // Who leases nothing leaves the purge to those who do.
                let leases = counts.leases.get();
                if purged.0.elapsed() >= PURGE_EVERY && leases > purged.1 {
                    purge(&pool).await;
                    purged = (Instant::now(), leases);
                }
            }
        };
        tokio::join!(lessor.run(stop.clone()), stop.run_until_cancelled(tidying));
        let last = give_back(&subjects, &pool, &counts, Duration::ZERO, usize::MAX);
        if tokio::time::timeout(GIVE_BACK_WITHIN, last).await.is_err() {
            tracing::warn!("some callers' unspent requests were not given back in time: their hour ends early");
        }
        pool.close().await;
    }
}

/// Gives back what was not used for so long. What cannot be given back is lost until its window ends.
async fn give_back(subjects: &Subjects, pool: &PgPool, counts: &Counts, unused_for: Duration, at_most: usize) {
    for batch in subjects.unspent(unused_for, at_most).chunks(BATCH) {
        match windows::give_back(pool, batch).await {
            Ok(()) => counts.count_returned(batch.iter().map(|(_, unspent)| unspent.tokens)),
            Err(error) => {
                counts.failures.inc();
                tracing::debug!(%error, "unspent requests could not be given back");
                return;
            }
        }
    }
}

async fn purge(pool: &PgPool) {
    if let Err(error) = windows::purge(pool).await {
        tracing::warn!(%error, "rate limits that are over could not be purged; it is tried again later");
    }
}
