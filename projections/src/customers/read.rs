//! Reads of the customers read model.

use aggregates::ids::CustomerId;
use sqlx::PgExecutor;

/// Whether there is such a customer.
///
/// # Errors
/// When the database does not answer.
pub async fn exists(executor: impl PgExecutor<'_>, id: CustomerId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from read_models.customers where customer_id = $1)")
        .bind(id.get())
        .fetch_one(executor)
        .await
}
