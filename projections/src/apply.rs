//! The one apply path: a batch of a partition's events takes effect together with its checkpoint, or not at all.

use aggregates::ids::CustomerId;
use sqlx::{PgConnection, PgPool};

use crate::{Partition, Projection, RecordedEvent, checkpoint, credit_profiles, customers, loans};

/// Why a batch did not take effect. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another worker has moved the checkpoint: load it again.
    #[error("the checkpoint of {projection}/{partition} is no longer at {expected}")]
    Stale {
        /// Which read model.
        projection: Projection,
        /// Which partition.
        partition: Partition,
        /// Where the caller believed it to be.
        expected: i64,
    },
    /// An event about a customer whose registration has not been seen: the log is not what it must be.
    #[error("customer {0} has events before it was registered")]
    UnknownCustomer(CustomerId),
    /// The database refused or did not answer.
    #[error("the read model could not be written")]
    Database(#[from] sqlx::Error),
}

/// Applies a batch and moves the checkpoint from `from` to `to`, in one transaction.
///
/// `batch` holds all events of the partition with a position over `from` and up to `to`, in order.
///
/// # Errors
/// [`ApplyError`]; the transaction is rolled back.
pub async fn apply(
    pool: &PgPool,
    projection: Projection,
    partition: Partition,
    from: i64,
    to: i64,
    batch: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let mut transaction = pool.begin().await?;
    if !checkpoint::advance(&mut transaction, projection, partition, from, to).await? {
        return Err(ApplyError::Stale { projection, partition, expected: from });
    }
    write(&mut transaction, projection, batch).await?;
    transaction.commit().await?;
    Ok(())
}

async fn write(
    transaction: &mut PgConnection,
    projection: Projection,
    batch: &[RecordedEvent],
) -> Result<(), ApplyError> {
    match projection {
        Projection::Customers => Ok(customers::write(transaction, batch).await?),
        Projection::Loans => Ok(loans::write(transaction, batch).await?),
        Projection::CreditProfiles => credit_profiles::write(transaction, batch).await,
    }
}
