//! Reads of the credit-profiles read model.

use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::statement::Statement;
use crate::{Partition, Projection};

/// A profile, and how far the log was applied to the read model when it was read: one statement sees both as they stand
/// at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What credit knows of the customer.
    pub profile: CreditProfile,
    /// The position up to which the customer's partition was applied.
    pub position: i64,
    /// How many customers of the partition were parked: the events of those are not applied, wherever that position is.
    pub parked: i32,
}

#[derive(sqlx::FromRow)]
struct Row {
    profile: Json<CreditProfile>,
    position: i64,
    parked: i32,
}

/// The statement of [`find`].
#[must_use]
pub fn find_statement(id: CustomerId) -> Statement {
    let sql = "select profile, coalesce(position, 0) as position, coalesce(parked, 0) as parked
               from read_models.credit_profiles
                    left join read_models.checkpoints on projection = $2 and partition = $3
               where customer_id = $1";
    let partition = i16::from(Partition::of(id).number());
    Statement::new(sql).bind(id.get()).bind(Projection::CreditProfiles.name()).bind(partition)
}

/// The profile of a customer, `None` for an unknown one.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, id: CustomerId) -> Result<Option<Found>, sqlx::Error> {
    let found: Option<Row> = find_statement(id).one(executor).await?;
    Ok(found.map(|Row { profile, position, parked }| Found { profile: profile.0, position, parked }))
}
