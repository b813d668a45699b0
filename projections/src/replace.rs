//! Making one customer's rows anew from all of its events: how a parked customer is redriven, and how one customer
//! alone is rebuilt.

use sqlx::{Acquire, PgConnection};

use crate::customer::{CustomerEvents, Failure};
use crate::model::{remove_customer, store, with_model};
use crate::parked::{self, error_text};
use crate::{ApplyError, Target, replaced};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The rows are as the events tell, and the customer goes on.
    Done,
    /// An event cannot be applied. A parked customer's rows are as the events before it tell, and it stays parked; those
    /// of a customer that is not parked are as they were.
    Failed(Failure),
    /// The database refuses the rows: they are as they were, and what is parked stays parked.
    Refused(String),
}

/// Replaces a customer's rows by what its events make of them: all of them up to the checkpoint, which the caller
/// holds in `transaction`.
///
/// # Errors
/// When the database does not answer.
pub async fn replace(
    transaction: &mut PgConnection,
    target: Target,
    events: &CustomerEvents<'_>,
) -> Result<Replaced, ApplyError> {
    let customer = events.customer();
    replaced::tell(transaction, target.projection()).await?;
    let mut savepoint = transaction.begin().await?;
    match write(&mut savepoint, target, events).await {
        Ok(None) => {
            savepoint.commit().await?;
            parked::unpark(transaction, target, customer).await?;
            Ok(Replaced::Done)
        }
        Ok(Some(failure)) => {
            if parked::failed_again(&mut savepoint, target, customer, &failure).await? {
                savepoint.commit().await?;
            } else {
                savepoint.rollback().await?;
            }
            Ok(Replaced::Failed(failure))
        }
        Err(error) if error.is_poison() => {
            savepoint.rollback().await?;
            let error = error_text(&error);
            parked::refused_again(transaction, target, customer, &error).await?;
            Ok(Replaced::Refused(error))
        }
        Err(error) => Err(error),
    }
}

async fn write(
    connection: &mut PgConnection,
    target: Target,
    events: &CustomerEvents<'_>,
) -> Result<Option<Failure>, ApplyError> {
    remove_customer(connection, target, events.customer()).await?;
    with_model!(target.projection(), Model => {
        let (rows, failed) = events.fold::<Model>(i64::MAX);
        let rows: Vec<_> = rows.into_values().collect();
        store::<Model>(connection, target, &rows).await?;
        Ok(failed)
    })
}
