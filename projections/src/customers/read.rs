//! Reads of one customer.

use aggregates::ids::CustomerId;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use crate::statement::Statement;

/// A customer, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CustomerView {
    /// Which customer.
    pub customer_id: i64,
    /// The id in the system it was taken over from, where it could not be kept.
    pub external_id: Option<String>,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Years.
    pub age: i16,
    /// Digits.
    pub phone_number: String,
    /// Rupees a month.
    pub monthly_income: Decimal,
    /// Rupees.
    pub approved_limit: Decimal,
    /// When it was registered or taken over.
    pub registered_at: DateTime<Utc>,
    /// 1, and one more with each change of its details.
    pub revision: i32,
}

/// The statement of [`exists`].
#[must_use]
pub fn exists_statement(id: CustomerId) -> Statement {
    Statement::new("select exists (select from read_models.customers where customer_id = $1)").bind(id.get())
}

/// Whether there is such a customer.
///
/// # Errors
/// When the database does not answer.
pub async fn exists(executor: impl PgExecutor<'_>, id: CustomerId) -> Result<bool, sqlx::Error> {
    let found: Option<(bool,)> = exists_statement(id).one(executor).await?;
    Ok(found.is_some_and(|(exists,)| exists))
}

/// The statement of [`find`].
#[must_use]
pub fn find_statement(id: CustomerId) -> Statement {
    Statement::new(
        "select customer_id, external_id, first_name, last_name, age, phone_number, monthly_income, approved_limit,
                registered_at, revision
         from read_models.customers where customer_id = $1",
    )
    .bind(id.get())
}

/// A customer; `None` for an unknown one.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, id: CustomerId) -> Result<Option<CustomerView>, sqlx::Error> {
    find_statement(id).one(executor).await
}
