//! The one apply path: a batch of a partition's events takes effect together with its checkpoint, or not at all.
//!
//! An event that cannot be applied parks its customer and nobody else: the batch is then applied again, event by event,
//! and what fails is parked together with the checkpoint that passes it.

use std::collections::HashSet;
use std::sync::Arc;

use aggregates::event::UnreadableEvent;
use sqlx::{Acquire, PgConnection, PgPool};

use crate::checkpoint::{Moved, Stamp};
use crate::customer::Failure;
use crate::model::{FoldError, fold_onto_stored, store, with_model};
use crate::{Partition, RecordedEvent, StoredEvent, Target, checkpoint, parked};

/// Why a batch did not take effect. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another worker has moved the checkpoint, or a newer version of the product has taken the read model over: load
    /// it again.
    #[error("the checkpoint of {}/{partition} is no longer at {expected}", target.name())]
    Stale {
        /// Which table.
        target: Target,
        /// Which partition.
        partition: Partition,
        /// Where the caller believed it to be.
        expected: i64,
    },
    /// An event that this build cannot read.
    #[error("the event cannot be read")]
    Unreadable(#[from] UnreadableEvent),
    /// An event that cannot be folded.
    #[error("the event cannot be applied")]
    Fold(#[from] FoldError),
    /// The database refused or did not answer.
    #[error("the read model could not be written")]
    Database(#[from] sqlx::Error),
}

impl ApplyError {
    /// Whether it is an event's fault, so that trying it again as it is would fail again. What the database says of a
    /// value (data exceptions, violated constraints, an exception that a trigger raised, a row too large) is; what it
    /// says of itself is not.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        match self {
            Self::Stale { .. } => false,
            Self::Unreadable(_) | Self::Fold(_) => true,
            Self::Database(error) => is_about_values(error),
        }
    }
}

pub(crate) fn is_about_values(error: &sqlx::Error) -> bool {
    if let Some(refusal) = error.as_database_error() {
        let code = refusal.code().unwrap_or_default();
        return ["22", "23", "54", "P0"].iter().any(|class| code.starts_with(class));
    }
    matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

/// What was parked while a batch took effect: whose events, and from which position on.
pub type Parkings = Vec<(i64, i64)>;

/// A batch that took effect.
#[derive(Debug, Default)]
pub struct Applied {
    /// What it parked.
    pub parkings: Parkings,
    /// The checkpoint as it is now, where nobody is parked: what comes next may be applied together with other
    /// partitions' ([`crate::together`]).
    pub stamp: Option<Stamp>,
}

/// Applies a batch and moves the checkpoint from `from` to `to`, in one transaction.
///
/// `batch` holds all events of the partition with a position over `from` and up to `to`, in order.
///
/// # Errors
/// [`ApplyError`], never a poisonous one; the transaction is rolled back.
pub async fn apply(
    pool: &PgPool,
    target: Target,
    partition: Partition,
    from: i64,
    to: i64,
    batch: &[Arc<StoredEvent>],
) -> Result<Applied, ApplyError> {
    let mut transaction = pool.begin().await?;
    let (parked, stamp) = move_checkpoint(&mut transaction, target, partition, from, to).await?;
    match write(&mut transaction, target, batch, &parked).await {
        Ok(()) => {
            transaction.commit().await?;
            Ok(Applied { parkings: Vec::new(), stamp: parked.is_empty().then_some(stamp) })
        }
        Err(error) if error.is_poison() => {
            transaction.rollback().await?;
            let parkings = apply_singly(pool, target, partition, from, to, batch).await?;
            Ok(Applied { parkings, stamp: None })
        }
        Err(error) => Err(error),
    }
}

/// As [`apply`], event by event, parking the customers of those that fail.
async fn apply_singly(
    pool: &PgPool,
    target: Target,
    partition: Partition,
    from: i64,
    to: i64,
    batch: &[Arc<StoredEvent>],
) -> Result<Parkings, ApplyError> {
    let mut transaction = pool.begin().await?;
    let (mut parked, _) = move_checkpoint(&mut transaction, target, partition, from, to).await?;
    let mut parkings = Vec::new();
    for event in batch {
        let mut savepoint = transaction.begin().await?;
        match write(&mut savepoint, target, std::slice::from_ref(event), &parked).await {
            Ok(()) => savepoint.commit().await?,
            Err(error) if error.is_poison() => {
                savepoint.rollback().await?;
                let unreadable = matches!(error, ApplyError::Unreadable(_));
                let failure = Failure::of(event, &error, unreadable);
                parked::park(&mut transaction, target, event.customer_id, &failure).await?;
                parked.insert(event.customer_id.get());
                parkings.push((event.customer_id.get(), event.position));
            }
            Err(error) => return Err(error),
        }
    }
    transaction.commit().await?;
    Ok(parkings)
}

/// Parks a customer at an event without trying it, and moves the checkpoint past it.
///
/// # Errors
/// As [`apply`].
pub async fn park_untried(
    pool: &PgPool,
    target: Target,
    from: i64,
    event: &StoredEvent,
    reason: &(dyn std::error::Error + Send + Sync),
) -> Result<(), ApplyError> {
    let mut transaction = pool.begin().await?;
    move_checkpoint(&mut transaction, target, event.partition(), from, event.position).await?;
    parked::park(&mut transaction, target, event.customer_id, &Failure::of(event, reason, false)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Moves the checkpoint and answers whose events are withheld, and the checkpoint's stamp. They are read under the
/// checkpoint's lock, so a customer that was redriven meanwhile is not among them.
async fn move_checkpoint(
    transaction: &mut PgConnection,
    target: Target,
    partition: Partition,
    from: i64,
    to: i64,
) -> Result<(HashSet<i64>, Stamp), ApplyError> {
    let moved = checkpoint::advance(transaction, target, partition, from, to).await?;
    let Moved { parked, stamp } = moved.ok_or(ApplyError::Stale { target, partition, expected: from })?;
    let withheld = match parked {
        0 => HashSet::new(),
        _ => parked::customers(transaction, target, partition).await?,
    };
    Ok((withheld, stamp))
}

/// Writes what events mean for a read model, but for those of parked customers.
async fn write(
    connection: &mut PgConnection,
    target: Target,
    events: &[Arc<StoredEvent>],
    parked: &HashSet<i64>,
) -> Result<(), ApplyError> {
    let events = events.iter().filter(|event| !parked.contains(&event.customer_id.get()));
    let events = events.map(|event| event.decoded()).collect::<Result<Vec<&RecordedEvent>, _>>();
    let events = events.map_err(UnreadableEvent::clone)?;
    with_model!(target.projection(), Model => {
        let rows = fold_onto_stored::<Model>(connection, target, &events).await?;
        store::<Model>(connection, target, &rows).await?;
    });
    Ok(())
}
