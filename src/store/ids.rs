//! New ids, drawn from sequences. A drawn id that is not used is lost, which no one minds.

use aggregates::Invalid;
use aggregates::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use sqlx::{PgExecutor, PgPool};

/// The largest id that is taken over from a workbook. New ids go on above the imported ones, so this leaves room for
/// nearly all the ids there are.
pub const MAX_KEPT_ID: i64 = 1_000_000_000_000_000;

/// Why no id could be drawn.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The database did not answer.
    #[error("no new id could be drawn")]
    Store(#[from] sqlx::Error),
    /// All ids are used up.
    #[error("the ids are used up")]
    UsedUp(#[from] Invalid),
}

/// A new customer's id.
///
/// # Errors
/// [`IdError`].
pub async fn draw_customer(executor: impl PgExecutor<'_>) -> Result<CustomerId, IdError> {
    let id: i64 = sqlx::query_scalar("select nextval('customer_ids')").fetch_one(executor).await?;
    Ok(CustomerId::try_from(id)?)
}

/// The ids of a decision and of the loan that it may open.
///
/// # Errors
/// [`IdError`].
pub async fn draw_decision_and_loan(executor: impl PgExecutor<'_>) -> Result<(DecisionId, LoanId), IdError> {
    let (decision, loan): (i64, i64) =
        sqlx::query_as("select nextval('decision_ids'), nextval('loan_ids')").fetch_one(executor).await?;
    Ok((DecisionId::try_from(decision)?, LoanId::try_from(loan)?))
}

/// A new repayment's id.
///
/// # Errors
/// [`IdError`].
pub async fn draw_repayment(executor: impl PgExecutor<'_>) -> Result<RepaymentId, IdError> {
    let id: i64 = sqlx::query_scalar("select nextval('repayment_ids')").fetch_one(executor).await?;
    Ok(RepaymentId::try_from(id)?)
}

/// A sequence that imported ids share with new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Of customers.
    Customers,
    /// Of loans.
    Loans,
}

impl Sequence {
    const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customer_ids",
            Self::Loans => "loan_ids",
        }
    }
}

/// Draws so many ids at once.
///
/// # Errors
/// When the database does not answer.
pub async fn draw_many(pool: &PgPool, sequence: Sequence, count: usize) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("select nextval($1::regclass) from generate_series(1, $2)")
        .bind(sequence.name())
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
}

/// Lets new ids go on above `taken`. A concurrent draw may see the sequence step back by what was drawn meanwhile:
/// its append then meets the taken id's stream and draws again.
///
/// # Errors
/// When the database does not answer.
pub async fn continue_above(pool: &PgPool, sequence: Sequence, taken: i64) -> Result<(), sqlx::Error> {
    let name = sequence.name();
    sqlx::query(&format!(
        "select setval('{name}', $1) from {name} where last_value < $1 or (last_value = $1 and not is_called)"
    ))
    .bind(taken)
    .execute(pool)
    .await?;
    Ok(())
}
