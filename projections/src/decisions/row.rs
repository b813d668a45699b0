//! A row of `read_models.decisions`: a decision's event, and what is looked for in it in columns of its own.

use aggregates::customer::Decided;
use aggregates::event::LendingEvent;
use aggregates::policy::decision::Assessment;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use crate::model::{Change, Column, FoldError, ReadModel, kept};
use crate::{Projection, RecordedEvent};

/// The read model.
pub(crate) struct Decisions;

/// A decision.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    decision_id: i64,
    customer_id: i64,
    loan_id: Option<i64>,
    outcome: String,
    decided_at: DateTime<Utc>,
    as_of: NaiveDate,
    policy_id: String,
    policy_digest: String,
    credit_score: Decimal,
    loan_amount: Decimal,
    #[sqlx(json)]
    assessment: Assessment,
}

/// The decision that an event is, if it is one.
fn decided(event: &RecordedEvent) -> Option<Decided<'_>> {
    match &event.event {
        LendingEvent::Customer(event) => event.decision(),
        LendingEvent::Loan(_) => None,
    }
}

impl ReadModel for Decisions {
    const PROJECTION: Projection = Projection::Decisions;
    const COLUMNS: &'static [Column] = &[
        Column("decision_id", "bigint"),
        Column("customer_id", "bigint"),
        Column("loan_id", "bigint"),
        Column("outcome", "text"),
        Column("decided_at", "timestamptz"),
        Column("as_of", "date"),
        Column("policy_id", "text"),
        Column("policy_digest", "text"),
        Column("credit_score", "numeric"),
        Column("loan_amount", "numeric"),
        Column("assessment", "json"),
    ];
    type Row = Row;

    fn change(event: &RecordedEvent) -> Option<Change> {
        decided(event).map(|decided| Change { id: decided.decision_id.get(), begins: true })
    }

    fn fold(row: &mut Option<Row>, event: &RecordedEvent) -> Result<(), FoldError> {
        let Some(Decided { decision_id, assessment, loan, decided_at }) = decided(event) else { return Ok(()) };
        *row = Some(Row {
            decision_id: decision_id.get(),
            customer_id: event.customer_id.get(),
            loan_id: loan.map(|loan| loan.loan_id.get()),
            outcome: assessment.outcome.as_str().to_owned(),
            decided_at: kept(decided_at),
            as_of: assessment.standing.as_of,
            policy_id: assessment.policy.id.clone(),
            policy_digest: assessment.policy.digest.clone(),
            credit_score: assessment.score.value,
            loan_amount: assessment.application.principal.money().amount(),
            assessment: assessment.clone(),
        });
        Ok(())
    }

    fn id(row: &Row) -> i64 {
        row.decision_id
    }

    fn fields(row: &Row) -> Vec<Option<String>> {
        vec![
            Some(row.decision_id.to_string()),
            Some(row.customer_id.to_string()),
            row.loan_id.map(|id| id.to_string()),
            Some(row.outcome.clone()),
            Some(row.decided_at.to_rfc3339()),
            Some(row.as_of.to_string()),
            Some(row.policy_id.clone()),
            Some(row.policy_digest.clone()),
            Some(row.credit_score.normalize().to_string()),
            Some(row.loan_amount.normalize().to_string()),
            // Written as events are. An assessment always is JSON: its keys are strings, and its numbers are decimals.
            serde_json::to_value(&row.assessment).ok().map(|assessment| assessment.to_string()),
        ]
    }
}
