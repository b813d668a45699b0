//! Reads of the decisions read model.

use aggregates::ids::{CustomerId, DecisionId};
use aggregates::policy::decision::{Assessment, Outcome};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{PgExecutor, Postgres, QueryBuilder};

/// A decision with all that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Decision {
    /// Which decision.
    pub decision_id: i64,
    /// Over whose application.
    pub customer_id: i64,
    /// The loan that it opened, where it was approved.
    pub loan_id: Option<i64>,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// How it came about.
    #[sqlx(json)]
    pub assessment: Assessment,
}

/// A decision as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ListedDecision {
    /// Which decision.
    pub decision_id: i64,
    /// Over whose application.
    pub customer_id: i64,
    /// The loan that it opened, where it was approved.
    pub loan_id: Option<i64>,
    /// `approved` or `declined`.
    pub outcome: String,
    /// The code of the gravest reason.
    pub reason: String,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// The business day by which it was taken.
    pub as_of: NaiveDate,
    /// Under which policy.
    pub policy_id: String,
    /// 0 to 100, two decimals.
    pub credit_score: Decimal,
    /// What was asked for, in rupees.
    pub loan_amount: Decimal,
}

/// Which decisions a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Over this customer's applications.
    pub customer: Option<CustomerId>,
    /// That fell so.
    pub outcome: Option<Outcome>,
}

/// Which decisions a backtest takes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Taken at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Taken before this one.
    pub until: Option<DateTime<Utc>>,
    /// Over this customer's applications.
    pub customer: Option<CustomerId>,
}

/// A decision as a backtest reads it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RecordedDecision {
    /// Which decision.
    pub decision_id: i64,
    /// Over whose application.
    pub customer_id: i64,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// How it came about.
    #[sqlx(json)]
    pub assessment: Assessment,
}

/// A decision, `None` for an unknown one.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, id: DecisionId) -> Result<Option<Decision>, sqlx::Error> {
    sqlx::query_as(
        "select decision_id, customer_id, loan_id, decided_at, assessment
         from read_models.decisions where decision_id = $1",
    )
    .bind(id.get())
    .fetch_optional(executor)
    .await
}

/// Decisions with an id below `below`, the newest first, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: Filter,
    below: i64,
    limit: i64,
) -> Result<Vec<ListedDecision>, sqlx::Error> {
    let mut sql = QueryBuilder::<Postgres>::new(
        "select decision_id, customer_id, loan_id, outcome, coalesce(assessment #>> '{reasons,0,code}', '') as reason,
                decided_at, as_of, policy_id, credit_score, loan_amount
         from read_models.decisions where decision_id < ",
    );
    sql.push_bind(below);
    if let Some(customer) = filter.customer {
        sql.push(" and customer_id = ").push_bind(customer.get());
    }
    if let Some(outcome) = filter.outcome {
        sql.push(" and outcome = ").push_bind(outcome.as_str());
    }
    sql.push(" order by decision_id desc limit ").push_bind(limit);
    sql.build_query_as().fetch_all(executor).await
}

fn push_span(sql: &mut QueryBuilder<'_, Postgres>, span: Span) {
    sql.push(" where true");
    if let Some(from) = span.from {
        sql.push(" and decided_at >= ").push_bind(from);
    }
    if let Some(until) = span.until {
        sql.push(" and decided_at < ").push_bind(until);
    }
    if let Some(customer) = span.customer {
        sql.push(" and customer_id = ").push_bind(customer.get());
    }
}

/// How many decisions there are.
///
/// # Errors
/// When the database does not answer.
pub async fn count(executor: impl PgExecutor<'_>, span: Span) -> Result<i64, sqlx::Error> {
    let mut sql = QueryBuilder::new("select count(*) from read_models.decisions");
    push_span(&mut sql, span);
    sql.build_query_scalar().fetch_one(executor).await
}

/// The next decisions in the order in which they were taken, behind one of them, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn batch(
    executor: impl PgExecutor<'_>,
    span: Span,
    behind: Option<(DateTime<Utc>, i64)>,
    limit: i64,
) -> Result<Vec<RecordedDecision>, sqlx::Error> {
    let mut sql =
        QueryBuilder::new("select decision_id, customer_id, decided_at, assessment from read_models.decisions");
    push_span(&mut sql, span);
    if let Some((decided_at, decision_id)) = behind {
        sql.push(" and (decided_at, decision_id) > (").push_bind(decided_at);
        sql.push(", ").push_bind(decision_id).push(")");
    }
    sql.push(" order by decided_at, decision_id limit ").push_bind(limit);
    sql.build_query_as().fetch_all(executor).await
}
