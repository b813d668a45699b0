//! Small batches of several partitions and read models, applied in one statement: what costs a transaction for each of
//! them costs one for all.
//!
//! Each stands or falls by itself: its rows are written if its checkpoint is still the very row that its worker has seen
//! ([`Stamp`]), and with it. What does not take effect here, because its checkpoint has changed, or one of its events
//! cannot be applied, or somebody of its partition is parked, goes the way of [`crate::apply()`], which knows how to
//! deal with that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::try_join_all;
use sqlx::PgExecutor;

use crate::checkpoint::{MOVE_STAMPED, Moves, Stamp};
use crate::model::{ReadModel, columns, fold_onto, load, needed, upsert, with_model};
use crate::{Partition, Projection, RecordedEvent, Slot, StoredEvent, Target};

/// Placeholders of [`MOVE_STAMPED`].
const OF_MOVES: usize = 5;

/// What a partition has ready for a read model.
#[derive(Debug, Clone)]
pub struct Share {
    /// Which read model, live.
    pub projection: Projection,
    /// Which partition.
    pub partition: Partition,
    /// Where its checkpoint is to stand now.
    pub from: i64,
    /// Its checkpoint as it was last seen, with nobody parked.
    pub stamp: Stamp,
    /// Where it is to stand then.
    pub to: i64,
    /// All events of the partition in between, in order.
    pub batch: Arc<Vec<Arc<StoredEvent>>>,
}

/// What several partitions have come to in one read model.
struct Folded {
    moves: Moves,
    written: Written,
}

/// Rows of a read model that are to be written.
struct Written {
    projection: Projection,
    /// Whose checkpoint each of them goes with.
    partitions: Vec<i16>,
    columns: Vec<Vec<Option<String>>>,
}

/// Applies what several partitions have ready, at most one share for each slot. Answers the new stamps of those that took
/// effect.
///
/// # Errors
/// When the database refused or did not answer; then none took effect that was not answered.
pub async fn apply_together<'p, Pool>(pool: Pool, shares: &[Share]) -> Result<HashMap<Slot, Stamp>, sqlx::Error>
where
    Pool: PgExecutor<'p> + Copy,
{
    let folding = Projection::ALL.into_iter().filter_map(|projection| {
        let own: Vec<&Share> = shares.iter().filter(|share| share.projection == projection).collect();
        (!own.is_empty()).then(|| fold(pool, projection, own))
    });
    let mut moves = Moves::default();
    let mut written = Vec::new();
    for folded in try_join_all(folding).await? {
        moves.extend(folded.moves);
        written.extend((!folded.written.partitions.is_empty()).then_some(folded.written));
    }
    write(pool, moves, written).await
}

/// Folds what is ready for one read model. Shares with an event that cannot be applied are left out.
async fn fold<'p>(
    pool: impl PgExecutor<'p>,
    projection: Projection,
    shares: Vec<&Share>,
) -> Result<Folded, sqlx::Error> {
    let readable = shares.into_iter().filter_map(|share| {
        let events: Result<Vec<&RecordedEvent>, _> = share.batch.iter().map(|event| event.decoded()).collect();
        Some((share, events.ok()?))
    });
    let readable: Vec<_> = readable.collect();
    with_model!(projection, Model => fold_onto_stored::<Model>(pool, readable).await)
}

async fn fold_onto_stored<'p, M: ReadModel>(
    pool: impl PgExecutor<'p>,
    shares: Vec<(&Share, Vec<&RecordedEvent>)>,
) -> Result<Folded, sqlx::Error> {
    let wanted: Vec<HashSet<i64>> =
        shares.iter().map(|(_, events)| needed::<M>(events).into_iter().collect()).collect();
    let target = Target::Live(M::PROJECTION);
    let mut stored = load::<M>(pool, target, wanted.iter().flatten().copied().collect()).await?;
    let (mut moves, mut partitions, mut rows) = (Moves::default(), Vec::new(), Vec::new());
    for ((share, events), wanted) in shares.into_iter().zip(wanted) {
        let (own, others) = stored.into_iter().partition(|row| wanted.contains(&M::id(row)));
        stored = others;
        let Ok(folded) = fold_onto::<M>(own, &events) else { continue };
        let partition = i16::from(share.partition.number());
        moves.projections.push(target.name());
        moves.partitions.push(partition);
        moves.from.push(share.from);
        moves.to.push(share.to);
        moves.stamps.push(share.stamp.clone());
        partitions.extend(folded.iter().map(|_| partition));
        rows.extend(folded);
    }
    let columns = columns::<M>(rows.iter());
    Ok(Folded { moves, written: Written { projection: M::PROJECTION, partitions, columns } })
}

async fn write<'p>(
    pool: impl PgExecutor<'p>,
    moves: Moves,
    written: Vec<Written>,
) -> Result<HashMap<Slot, Stamp>, sqlx::Error> {
    let sql = statement(&written);
    let mut query = sqlx::query_as::<_, (String, i16, Stamp)>(&sql)
        .bind(moves.projections)
        .bind(moves.partitions)
        .bind(moves.from)
        .bind(moves.to)
        .bind(moves.stamps);
    for Written { partitions, columns, .. } in written {
        query = query.bind(partitions);
        for column in columns {
            query = query.bind(column);
        }
    }
    let moved = query.fetch_all(pool).await?.into_iter().filter_map(|(projection, partition, stamp)| {
        let partition = Partition::from_number(u8::try_from(partition).ok()?)?;
        Some(((Projection::from_name(&projection)?, partition), stamp))
    });
    Ok(moved.collect())
}

/// The read models in their order, so that all such statements hold their tables in the same.
fn statement(written: &[Written]) -> String {
    let mut sql = format!("with {MOVE_STAMPED}");
    let mut bound = OF_MOVES;
    for Written { projection, columns, .. } in written {
        let name = projection.name();
        let only = format!(
            "join moved on moved.projection = '{name}' and moved.partition = (${}::smallint[])[written.place]",
            bound + 1
        );
        let write = with_model!(*projection, Model => upsert::<Model>(Target::Live(*projection), bound + 2, &only));
        sql.push_str(&format!(", stored_{name} as ({write})"));
        bound += 1 + columns.len();
    }
    sql.push_str(" select projection, partition, stamp from moved");
    sql
}
