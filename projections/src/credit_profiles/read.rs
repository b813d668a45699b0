//! Reads of the credit-profiles read model.

use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::statement::Statement;

/// The statement of [`find`].
#[must_use]
pub fn find_statement(id: CustomerId) -> Statement {
    Statement::new("select profile from read_models.credit_profiles where customer_id = $1").bind(id.get())
}

/// The profile of a customer, `None` for an unknown one.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, id: CustomerId) -> Result<Option<CreditProfile>, sqlx::Error> {
    let found: Option<(Json<CreditProfile>,)> = find_statement(id).one(executor).await?;
    Ok(found.map(|(profile,)| profile.0))
}
