//! From filled tables to serving ones: counted and compared, indexed, caught up with the log, and swapped in under a
//! fence.
//!
//! The fence is the live checkpoints' lock. While it is held nobody applies anything to the live tables, so the new ones
//! can apply the little that is missing and take their place; readers wait for the renaming alone. Whoever cannot be
//! had within [`LOCK_TIMEOUT_MILLISECONDS`] is let go on, and the swap is tried again.

use std::time::Duration;

use futures::TryStreamExt;
use futures::future::try_join_all;
use projections::rebuilds::{self, Phase};
use projections::shadow::{self, SwapRefused, contents};
use projections::{Partition, Projection, Target, apply, checkpoint};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio_util::task::AbortOnDropHandle;

use super::{Lock, Replay, ReplayError, SETTLE_WITHIN};
use crate::store::reader::{count, head, last_in_partition, read_partition};
use crate::store::tail::settled_head;

const CATCH_UP_EVENTS: i64 = 1000;
const CATCH_UP_PARALLEL: usize = 4;
/// The fence goes up when no more positions than this were appended during a round of catching up.
const NEAR_ENOUGH: i64 = 2000;
/// Rounds of catching up before the fence goes up anyway.
const MAX_ROUNDS: u32 = 100;
/// Below PostgreSQL's deadlock timeout, so that a reader that waits for another of the tables wins.
const LOCK_TIMEOUT_MILLISECONDS: u32 = 150;
const FENCED_AT_MOST: Duration = Duration::from_secs(2);
const MAX_SWAP_ATTEMPTS: u32 = 600;
const SHORTEST_SWAP_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_SWAP_PAUSE: Duration = Duration::from_secs(5);

impl Replay {
    /// What was folded must be the whole log, and what the tables hold must be what was folded.
    pub(super) async fn check(
        &self,
        id: i64,
        projections: &[Projection],
        up_to: i64,
        events: i64,
    ) -> Result<(), ReplayError> {
        let (folded, expected) = rebuilds::filled_in_all(&self.read_models, id, projections.len()).await?;
        let there_are = count(&self.log, up_to).await?;
        if folded != there_are || folded != events {
            return Err(ReplayError::EventsMissing { folded, there_are, up_to });
        }
        // Side by side, and each on a thread of its own where there is one.
        let counting = projections.iter().map(|projection| {
            let (read_models, target) = (self.read_models.clone(), Target::Rebuild(*projection));
            let counting = AbortOnDropHandle::new(tokio::spawn(async move { contents(&read_models, target).await }));
            async move { Ok::<_, ReplayError>(counting.await??) }
        });
        let held = try_join_all(counting).await?;
        for ((projection, expected), holds) in projections.iter().copied().zip(expected).zip(held) {
            if holds != expected {
                return Err(ReplayError::ContentsDiffer {
                    projection,
                    holds: holds.rows,
                    holds_sum: holds.checksum,
                    folded: expected.rows,
                    folded_sum: expected.checksum,
                });
            }
        }
        Ok(())
    }

    pub(super) async fn index(&self, projections: &[Projection], up_to: i64) -> Result<(), ReplayError> {
        let indexing = projections.iter().map(|projection| async move {
            let mut connection = self.read_models.acquire().await?;
            shadow::index(&mut connection, *projection).await?;
            shadow::begin_at(&mut *connection, *projection, up_to).await
        });
        try_join_all(indexing).await?;
        Ok(())
    }

    /// Catches up and swaps, again and again until it comes to pass.
    pub(super) async fn finish(&self, id: i64, projections: &[Projection], lock: &mut Lock) -> Result<(), ReplayError> {
        self.catch_up(id, projections, lock).await?;
        let mut pause = SHORTEST_SWAP_PAUSE;
        for _ in 0..MAX_SWAP_ATTEMPTS {
            self.enter(id, Phase::Swapping, lock).await?;
            match self.swap(id, projections).await {
                Ok(()) => return Ok(()),
                Err(ReplayError::Swap(SwapRefused::IndexMissing(_))) => {
                    self.unless_cancelled(id, lock, self.index(projections, 0)).await?;
                }
                Err(error) if is_contention(&error) => {}
                Err(ReplayError::Swap(SwapRefused::Database(error))) => return Err(error.into()),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_SWAP_PAUSE);
            self.enter(id, Phase::CatchingUp, lock).await?;
            self.catch_up(id, projections, lock).await?;
        }
        Err(ReplayError::NoRoom(MAX_SWAP_ATTEMPTS))
    }

    /// Applies what was appended since, until hardly anything is appended meanwhile.
    async fn catch_up(&self, id: i64, projections: &[Projection], lock: &mut Lock) -> Result<(), ReplayError> {
        let mut before = None;
        for _ in 0..MAX_ROUNDS {
            let head = loop {
                lock.confirm().await?;
                self.must_not_be_cancelled(id).await?;
                if let Some(head) = settled_head(&self.log, SETTLE_WITHIN).await? {
                    break head;
                }
            };
            let slots = projections.iter().flat_map(|one| Partition::all().map(move |partition| (*one, partition)));
            let round = futures::stream::iter(slots.map(Ok)).try_for_each_concurrent(
                CATCH_UP_PARALLEL,
                |(projection, partition)| async move {
                    let last = last_in_partition(&self.log, partition, head).await?;
                    self.catch_up_to(projection, partition, last).await
                },
            );
            self.unless_cancelled(id, lock, round).await?;
            if before.is_some_and(|before| head - before <= NEAR_ENOUGH) {
                return Ok(());
            }
            before = Some(head);
        }
        Ok(())
    }

    async fn catch_up_to(&self, projection: Projection, partition: Partition, to: i64) -> Result<(), ReplayError> {
        let target = Target::Rebuild(projection);
        let mut at = checkpoint::load(&self.read_models, target, partition).await?.position;
        while at < to {
            let events = read_partition(&self.log, partition, at, to, CATCH_UP_EVENTS).await?;
            let reached = events.last().map_or(to, |event| event.position);
            apply(&self.read_models, target, partition, at, reached, &events).await?;
            at = reached;
        }
        Ok(())
    }

    /// Only the commit is waited for however long it takes: undone or not, the record says which.
    async fn swap(&self, id: i64, projections: &[Projection]) -> Result<(), ReplayError> {
        let prepared = tokio::time::timeout(FENCED_AT_MOST, self.prepare_swap(id, projections)).await;
        prepared.map_err(|_| ReplayError::FenceTimedOut)??.commit().await?;
        Ok(())
    }

    async fn prepare_swap(
        &self,
        id: i64,
        projections: &[Projection],
    ) -> Result<Transaction<'static, Postgres>, ReplayError> {
        let mut transaction = self.read_models.begin().await?;
        sqlx::query(&format!("set local lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}"))
            .execute(&mut *transaction)
            .await?;
        for projection in projections {
            shadow::fence(&mut transaction, *projection).await?;
        }
        let head = head(&self.log).await?;
        // The live tables stand still. What they have and the new ones lack is applied on connections of its own.
        for projection in projections {
            let positions = live_positions(&mut transaction, *projection).await?;
            futures::stream::iter(positions.into_iter().map(Ok))
                .try_for_each_concurrent(CATCH_UP_PARALLEL, |(partition, position)| async move {
                    self.catch_up_to(*projection, partition, position.min(head)).await
                })
                .await?;
        }
        for projection in projections {
            shadow::swap(&mut transaction, *projection, head).await?;
        }
        rebuilds::forget_ranges(&mut *transaction, id).await?;
        rebuilds::enter(&mut *transaction, id, Phase::Done, None).await?.ok_or(ReplayError::Ended)?;
        Ok(transaction)
    }
}

async fn live_positions(
    transaction: &mut PgConnection,
    projection: Projection,
) -> Result<Vec<(Partition, i64)>, sqlx::Error> {
    let mut positions = Vec::new();
    for partition in Partition::all() {
        let live = checkpoint::load(&mut *transaction, Target::Live(projection), partition).await?;
        positions.push((partition, live.position));
    }
    Ok(positions)
}

/// Whether others were in the way: the swap is tried again.
fn is_contention(error: &ReplayError) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    let in_the_way = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == LOCK_NOT_AVAILABLE || code == DEADLOCK_DETECTED)
    };
    if let ReplayError::Swap(SwapRefused::Database(error)) | ReplayError::Interrupted(error) = error {
        return in_the_way(error);
    }
    matches!(error, ReplayError::FenceTimedOut | ReplayError::Swap(SwapRefused::Behind { .. }))
}
