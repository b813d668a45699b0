//! Small batches of several partitions, applied in one statement: what costs a transaction for each of them costs one for
//! all.
//!
//! Each stands or falls by itself: its rows are written if its checkpoint is still the very row that its worker has seen
//! ([`Stamp`]), and with it. What does not take effect here, because its checkpoint has changed, or one of its events
//! cannot be applied, or somebody of its partition is parked, goes the way of [`crate::apply()`], which knows how to
//! deal with that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgExecutor;

use crate::checkpoint::{MOVE_STAMPED, Moves, Stamp};
use crate::model::{ReadModel, columns, fold_onto, load, needed, upsert, with_model};
use crate::{Partition, RecordedEvent, StoredEvent, Target};

/// Placeholders before those of the rows' columns: the read model, the checkpoints, and the rows' partitions.
const FIRST_COLUMN: usize = 7;

/// What a partition has ready.
#[derive(Debug, Clone)]
pub struct Share {
    /// Which.
    pub partition: Partition,
    /// Where its checkpoint is to stand now.
    pub from: i64,
    /// Its checkpoint as it was last seen, with nobody parked.
    pub stamp: Stamp,
    /// Where it is to stand then.
    pub to: i64,
    /// All events of the partition in between, in order.
    pub batch: Arc<Vec<StoredEvent>>,
}

/// Applies what several partitions have ready, at most one share of each. Answers the new stamps of those that took
/// effect.
///
/// # Errors
/// When the database refused or did not answer; then none took effect that was not answered.
pub async fn apply_together<'p, Pool>(
    pool: Pool,
    target: Target,
    shares: &[Share],
) -> Result<HashMap<Partition, Stamp>, sqlx::Error>
where
    Pool: PgExecutor<'p> + Copy,
{
    let readable = shares.iter().filter_map(|share| {
        let events: Result<Vec<RecordedEvent>, _> = share.batch.iter().map(StoredEvent::decode).collect();
        Some((share, events.ok()?))
    });
    let readable: Vec<_> = readable.collect();
    with_model!(target.projection(), Model => write::<Model>(pool, target, readable).await)
}

async fn write<'p, M: ReadModel>(
    pool: impl PgExecutor<'p> + Copy,
    target: Target,
    shares: Vec<(&Share, Vec<RecordedEvent>)>,
) -> Result<HashMap<Partition, Stamp>, sqlx::Error> {
    let wanted: Vec<HashSet<i64>> =
        shares.iter().map(|(_, events)| needed::<M>(events).into_iter().collect()).collect();
    let mut stored = load::<M>(pool, target, wanted.iter().flatten().copied().collect()).await?;
    let (mut moves, mut partitions, mut rows) = (Moves::default(), Vec::new(), Vec::new());
    for ((share, events), wanted) in shares.into_iter().zip(wanted) {
        let (own, others) = stored.into_iter().partition(|row| wanted.contains(&M::id(row)));
        stored = others;
        let Ok(folded) = fold_onto::<M>(own, &events) else { continue };
        let partition = i16::from(share.partition.number());
        moves.partitions.push(partition);
        moves.from.push(share.from);
        moves.to.push(share.to);
        moves.stamps.push(share.stamp.clone());
        partitions.extend(folded.iter().map(|_| partition));
        rows.extend(folded);
    }
    let sql = statement::<M>(target, !rows.is_empty());
    let mut query = sqlx::query_as::<_, (i16, Stamp)>(&sql)
        .bind(target.name())
        .bind(moves.partitions)
        .bind(moves.from)
        .bind(moves.to)
        .bind(moves.stamps);
    if !rows.is_empty() {
        query = query.bind(partitions);
        for column in columns::<M>(rows.iter()) {
            query = query.bind(column);
        }
    }
    let moved = query.fetch_all(pool).await?;
    let moved = moved
        .into_iter()
        .filter_map(|(partition, stamp)| Some((Partition::from_number(u8::try_from(partition).ok()?)?, stamp)));
    Ok(moved.collect())
}

fn statement<M: ReadModel>(target: Target, has_rows: bool) -> String {
    if !has_rows {
        return format!("with {MOVE_STAMPED} select partition, stamp from moved");
    }
    let only = "join moved on moved.partition = ($6::smallint[])[written.place]";
    let write = upsert::<M>(target, FIRST_COLUMN, only);
    format!("with {MOVE_STAMPED}, stored as ({write}) select partition, stamp from moved")
}
