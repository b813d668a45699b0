//! Customers whose events a read model cannot apply. From the event that failed on, theirs are withheld, and everybody
//! else's go on; nothing is skipped: redriving takes them up again where they stopped, in order.

use std::collections::HashSet;

use aggregates::ids::CustomerId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::customer::Failure;
use crate::{Partition, Target};

/// The longest error text that is kept, in characters.
const MAX_ERROR_CHARS: usize = 2000;

/// A parked customer.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Parked {
    /// Whose events are withheld.
    pub customer_id: i64,
    /// The event that could not be applied; theirs after it wait behind it.
    pub position: i64,
    /// What kind of event it is.
    pub event_type: String,
    /// Why it could not be applied.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Since when.
    pub parked_at: DateTime<Utc>,
    /// When it was tried last.
    pub tried_at: DateTime<Utc>,
}

/// The parked customers of a partition.
pub(crate) async fn customers(
    executor: impl PgExecutor<'_>,
    target: Target,
    partition: Partition,
) -> Result<HashSet<i64>, sqlx::Error> {
    let customers: Vec<i64> =
        sqlx::query_scalar("select customer_id from read_models.parked where projection = $1 and partition = $2")
            .bind(target.name())
            .bind(i16::from(partition.number()))
            .fetch_all(executor)
            .await?;
    Ok(customers.into_iter().collect())
}

/// Parked customers with an id over `after` and up to `to`, in order, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    executor: impl PgExecutor<'_>,
    target: Target,
    after: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as(
        "select customer_id, position, event_type, error, attempts, parked_at, tried_at from read_models.parked
         where projection = $1 and customer_id > $2 and customer_id <= $3 order by customer_id limit $4",
    )
    .bind(target.name())
    .bind(after)
    .bind(to)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// For each read model with parked customers, how many milliseconds ago the first of them was parked.
///
/// # Errors
/// When the database does not answer.
pub async fn summary(executor: impl PgExecutor<'_>) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "select projection, (extract(epoch from clock_timestamp() - min(parked_at)) * 1000)::bigint
         from read_models.parked group by projection",
    )
    .fetch_all(executor)
    .await
}

/// Customers that are parked because their event could not be read, the one that was tried longest ago first, at most
/// `limit`: a newer build may read it.
///
/// # Errors
/// When the database does not answer.
pub async fn unreadable(executor: impl PgExecutor<'_>, target: Target, limit: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select customer_id from read_models.parked where projection = $1 and unreadable
         order by tried_at, customer_id limit $2",
    )
    .bind(target.name())
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Partitions whose checkpoint counts other customers as parked than are: there must be none. Name, partition, counted,
/// parked.
///
/// # Errors
/// When the database does not answer.
pub async fn miscounted(executor: impl PgExecutor<'_>) -> Result<Vec<(String, i16, i32, i64)>, sqlx::Error> {
    sqlx::query_as(
        "select projection, partition, coalesce(held.parked, 0), coalesce(counted.parked, 0)
         from read_models.checkpoints held
              full join (select projection, partition, count(*) as parked from read_models.parked group by 1, 2) counted
              using (projection, partition)
         where coalesce(held.parked, 0) <> coalesce(counted.parked, 0) order by 1, 2",
    )
    .fetch_all(executor)
    .await
}

/// Parks a customer. The caller holds the partition's checkpoint.
pub(crate) async fn park(
    transaction: &mut PgConnection,
    target: Target,
    customer: CustomerId,
    failure: &Failure,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with parked as (
             insert into read_models.parked
                 (projection, customer_id, partition, position, event_type, error, unreadable)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict do nothing
             returning projection, partition)
         update read_models.checkpoints c set parked = c.parked + 1
         from parked where c.projection = parked.projection and c.partition = parked.partition",
    )
    .bind(target.name())
    .bind(customer.get())
    .bind(i16::from(Partition::of(customer).number()))
    .bind(failure.position)
    .bind(&failure.event_type)
    .bind(&failure.error)
    .bind(failure.unreadable)
    .execute(transaction)
    .await?;
    Ok(())
}

/// A parked customer was tried again and came to that event; `false` for a customer that is not parked. The caller holds
/// the checkpoint.
pub(crate) async fn failed_again(
    transaction: &mut PgConnection,
    target: Target,
    customer: CustomerId,
    failure: &Failure,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query(
        "update read_models.parked
         set position = $3, event_type = $4, error = $5, unreadable = $6, attempts = attempts + 1, tried_at = now()
         where projection = $1 and customer_id = $2",
    )
    .bind(target.name())
    .bind(customer.get())
    .bind(failure.position)
    .bind(&failure.event_type)
    .bind(&failure.error)
    .bind(failure.unreadable)
    .execute(transaction)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// A parked customer was tried again and is where it was. The caller holds the checkpoint.
pub(crate) async fn refused_again(
    transaction: &mut PgConnection,
    target: Target,
    customer: CustomerId,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update read_models.parked set error = $3, attempts = attempts + 1, tried_at = now()
         where projection = $1 and customer_id = $2",
    )
    .bind(target.name())
    .bind(customer.get())
    .bind(error)
    .execute(transaction)
    .await?;
    Ok(())
}

/// A customer goes on, if it was parked. The caller holds the checkpoint.
pub(crate) async fn unpark(
    transaction: &mut PgConnection,
    target: Target,
    customer: CustomerId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with unparked as (
             delete from read_models.parked where projection = $1 and customer_id = $2
             returning projection, partition)
         update read_models.checkpoints c set parked = c.parked - 1
         from unparked where c.projection = unparked.projection and c.partition = unparked.partition",
    )
    .bind(target.name())
    .bind(customer.get())
    .execute(transaction)
    .await?;
    Ok(())
}

/// An error with its causes, in one line, at most 2,000 characters.
#[must_use]
pub fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.chars().take(MAX_ERROR_CHARS).collect()
}
