//! Reads of the decisions read model.

use aggregates::ids::{CustomerId, DecisionId};
use aggregates::policy::decision::{Assessment, Outcome};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use crate::keyset::{Key, KeyValue, Kind, Order, OrderColumn, Select};
use crate::statement::Statement;
use crate::{Projection, Target};

/// The order in which decisions were taken.
const AS_TAKEN: Order = &[OrderColumn("decided_at", Kind::Instant), OrderColumn("decision_id", Kind::Integer)];

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

/// The statement of [`find`].
#[must_use]
pub fn find_statement(id: DecisionId) -> Statement {
    Statement::new(
        "select decision_id, customer_id, loan_id, decided_at, assessment
         from read_models.decisions where decision_id = $1",
    )
    .bind(id.get())
}

/// A decision, `None` for an unknown one.
///
/// # Errors
/// When the database does not answer.
pub async fn find(executor: impl PgExecutor<'_>, id: DecisionId) -> Result<Option<Decision>, sqlx::Error> {
    find_statement(id).one(executor).await
}

/// The digest of the policy of that id under which its last decision was taken; `None` where none was.
///
/// # Errors
/// When the database does not answer.
pub async fn last_digest(executor: impl PgExecutor<'_>, policy_id: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select policy_digest from read_models.decisions where policy_id = $1 order by decision_id desc limit 1",
    )
    .bind(policy_id)
    .fetch_optional(executor)
    .await
}

/// The statement of [`list`].
#[must_use]
pub fn list_statement(filter: Filter, below: i64, limit: i64) -> Statement {
    let columns = "decision_id, customer_id, loan_id, outcome,
                   coalesce(assessment #>> '{reasons,0,code}', '') as reason,
                   decided_at, as_of, policy_id, credit_score, loan_amount";
    let mut select = Select::new(columns, Target::Live(Projection::Decisions));
    select.compare("decision_id <", Some(below));
    select.compare("customer_id =", filter.customer.map(CustomerId::get));
    select.compare("outcome =", filter.outcome.map(Outcome::as_str));
    select.ending(&format!("order by decision_id desc limit {limit}"))
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
    list_statement(filter, below, limit).all(executor).await
}

fn narrow(select: &mut Select, span: Span) {
    select.compare("decided_at >=", span.from);
    select.compare("decided_at <", span.until);
    select.compare("customer_id =", span.customer.map(CustomerId::get));
}

/// How many decisions there are.
///
/// # Errors
/// When the database does not answer.
pub async fn count(executor: impl PgExecutor<'_>, span: Span) -> Result<i64, sqlx::Error> {
    let mut select = Select::new("count(*)", Target::Live(Projection::Decisions));
    narrow(&mut select, span);
    let counted: Option<(i64,)> = select.ending("").one(executor).await?;
    Ok(counted.map_or(0, |(count,)| count))
}

/// The statement of [`batch`].
#[must_use]
pub fn batch_statement(span: Span, behind: Option<(DateTime<Utc>, i64)>, limit: i64) -> Statement {
    let columns = "decision_id, customer_id, decided_at, assessment";
    let mut select = Select::new(columns, Target::Live(Projection::Decisions));
    narrow(&mut select, span);
    if let Some((decided_at, decision_id)) = behind {
        select.behind(AS_TAKEN, &Key::new([KeyValue::Instant(decided_at), KeyValue::Integer(decision_id)]));
    }
    select.ending(&format!("order by decided_at, decision_id limit {limit}"))
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
    batch_statement(span, behind, limit).all(executor).await
}
