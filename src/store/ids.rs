//! New ids, drawn from sequences. A drawn id that is not used is lost, which no one minds.

use std::sync::Arc;
use std::time::Duration;

use aggregates::Invalid;
use aggregates::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use sqlx::{PgExecutor, PgPool};

use crate::databases::connections::Connections;
use crate::gather::{Gatherer, Overtaking, Unanswered};

/// So many who need an id have it drawn together.
const DRAWN_TOGETHER: usize = 100;
const OVERTAKING: Overtaking = Overtaking { after: Duration::from_millis(20), at_most: 2 };

/// The largest id that is taken over from a workbook. New ids go on above the imported ones, so this leaves room for
/// nearly all the ids there are.
pub const MAX_KEPT_ID: i64 = 1_000_000_000_000_000;

/// Why no id could be drawn.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdError {
    /// The database did not answer.
    #[error("no new id could be drawn")]
    Store(#[source] Arc<sqlx::Error>),
    /// All ids are used up.
    #[error("the ids are used up")]
    UsedUp(#[from] Invalid),
}

impl From<sqlx::Error> for IdError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// A new repayment's id.
///
/// # Errors
/// [`IdError`].
pub async fn draw_repayment(executor: impl PgExecutor<'_>) -> Result<RepaymentId, IdError> {
    let id: i64 = sqlx::query_scalar("select nextval('repayment_ids')").fetch_one(executor).await?;
    Ok(RepaymentId::try_from(id)?)
}

/// New ids for whoever needs some, drawn for all together who need them at the same time.
pub struct Draws {
    log: Connections,
    customers: Gatherer<(), Result<CustomerId, IdError>>,
    decisions: Gatherer<(), Result<(DecisionId, LoanId), IdError>>,
}

impl Draws {
    /// From the log's sequences.
    #[must_use]
    pub fn new(log: Connections) -> Self {
        let (customers, decisions) = (Gatherer::new(DRAWN_TOGETHER), Gatherer::new(DRAWN_TOGETHER));
        Self { log, customers: customers.overtaking(OVERTAKING), decisions: decisions.overtaking(OVERTAKING) }
    }

    fn wait(&self) -> Duration {
        self.log.options().get_acquire_timeout()
    }

    /// A new customer's id.
    ///
    /// # Errors
    /// [`IdError`].
    pub async fn customer(&self) -> Result<CustomerId, IdError> {
        let draw = |askers: Vec<()>| draw_customers(self.log.clone(), askers.len());
        self.customers.ask((), self.wait(), draw).await.unwrap_or_else(|unanswered| Err(unanswered.into()))
    }

    /// The ids of a decision and of the loan that it may open.
    ///
    /// # Errors
    /// [`IdError`].
    pub async fn decision_and_loan(&self) -> Result<(DecisionId, LoanId), IdError> {
        let draw = |askers: Vec<()>| draw_decisions_and_loans(self.log.clone(), askers.len());
        self.decisions.ask((), self.wait(), draw).await.unwrap_or_else(|unanswered| Err(unanswered.into()))
    }
}

impl From<Unanswered> for IdError {
    fn from(unanswered: Unanswered) -> Self {
        Self::from(match unanswered {
            Unanswered::Withdrawn => sqlx::Error::PoolTimedOut,
            Unanswered::Lost => sqlx::Error::WorkerCrashed,
        })
    }
}

async fn draw_customers(log: Connections, count: usize) -> Vec<Result<CustomerId, IdError>> {
    match draw_many(&log, Sequence::Customers, count).await {
        Ok(ids) => ids.into_iter().map(|id| Ok(CustomerId::try_from(id)?)).collect(),
        Err(error) => vec![Err(IdError::from(error)); count],
    }
}

async fn draw_decisions_and_loans(log: Connections, count: usize) -> Vec<Result<(DecisionId, LoanId), IdError>> {
    let drawn: Result<Vec<(i64, i64)>, _> =
        sqlx::query_as("select nextval('decision_ids'), nextval('loan_ids') from generate_series(1, $1)")
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_all(&log)
            .await;
    match drawn {
        Ok(ids) => {
            ids.into_iter().map(|(id, loan_id)| Ok((DecisionId::try_from(id)?, LoanId::try_from(loan_id)?))).collect()
        }
        Err(error) => vec![Err(IdError::from(error)); count],
    }
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
pub async fn draw_many(
    executor: impl PgExecutor<'_>,
    sequence: Sequence,
    count: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("select nextval($1::regclass) from generate_series(1, $2)")
        .bind(sequence.name())
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(executor)
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
