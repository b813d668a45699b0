//! `GET /v1/decisions/{id}` and `GET /v1/decisions`: why a decision fell as it did, and which there are.

use aggregates::ids::{CustomerId, DecisionId};
use aggregates::policy::decision::Outcome;
use axum::Json;
use axum::extract::State;
use projections::Projection;
use projections::decisions::{self, Decision, Filter, ListedDecision};
use serde::Serialize;
use utoipa::ToSchema;

use super::explained::{DecisionOutcome, Explained};
use crate::http::Api;
use crate::http::application::ReasonCode;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, must_be_filled, path_id};

/// A decision, and why it fell as it did.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "decision_id": 17, "customer_id": 10015, "loan_id": null, "decided_at": "2026-03-31T09:30:00.123456+00:00",
    "outcome": "declined", "as_of": "2026-03-31",
    "application": {"loan_amount": 500000, "interest_rate": 14, "tenure": 24, "accept_corrected_rate": true},
    "standing": {"monthly_income": 50000, "approved_limit": 1800000, "loans_taken": 1, "loans_started_this_year": 1,
                 "instalments_due": 0, "instalments_paid_on_time": 0, "current_loans": 1,
                 "current_loans_amount": 100000, "current_instalments": 8884.88},
    "credit_score": 57.89, "rule": "components",
    "components": [
        {"name": "on_time", "weight": 40, "points": 20,
         "inputs": {"instalments_paid_on_time": 0, "instalments_due": 0}},
        {"name": "track_record", "weight": 20, "points": 4, "inputs": {"loans_taken": 1}},
        {"name": "current_year_activity", "weight": 20, "points": 15, "inputs": {"loans_started_this_year": 1}},
        {"name": "approved_volume", "weight": 20, "points": 18.89,
         "inputs": {"current_loans_amount": 100000, "approved_limit": 1800000}},
    ],
    "minimum_interest_rate": 0, "corrected_interest_rate": 14, "monthly_installment": 24006.44,
    "policy": {
        "id": "standard-1", "version": 1,
        "digest": "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce",
        "rules": {
            "weights": {"on_time": 40, "track_record": 20, "current_year_activity": 20, "approved_volume": 20},
            "score": {"without_loans": 50, "nothing_due_percent": 50, "full_track_record_loans": 5,
                      "loss_per_loan_this_year_percent": 25},
            "caps": {"instalments_percent_of_income": 50, "count_requested_loan": true},
            "floors": [{"score_above": 50, "minimum_interest_rate": 0}, {"score_above": 30, "minimum_interest_rate": 12},
                       {"score_above": 10, "minimum_interest_rate": 16}],
        },
    },
    "reasons": [{"code": "instalments_over_income_share",
        "message": "Current instalments and this one, 32891.32 a month, exceed 50% of the monthly income, 25000.00."}],
    "alternatives": [{"change": "smaller_amount", "loan_amount": 335641}, {"change": "longer_tenure", "tenure": 39}],
})))]
pub(super) struct DecisionDocument {
    decision_id: i64,
    customer_id: i64,
    /// The loan that it opened; null for a decline.
    #[schema(required)]
    loan_id: Option<i64>,
    #[schema(format = DateTime)]
    decided_at: String,
    #[serde(flatten)]
    explained: Explained,
}

/// A page of decisions, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "decision_id": 17, "customer_id": 10015, "loan_id": null, "outcome": "declined",
    "reason": "instalments_over_income_share", "decided_at": "2026-03-31T09:30:00.123456+00:00", "as_of": "2026-03-31",
    "policy": "standard-1", "credit_score": 57.89, "loan_amount": 500000,
}], "next_cursor": null})))]
pub(super) struct DecisionList {
    items: Vec<DecisionItem>,
    /// Continues the list; null on its last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A decision of a list.
#[derive(Serialize, ToSchema)]
struct DecisionItem {
    decision_id: i64,
    customer_id: i64,
    /// The loan that it opened; null for a decline.
    #[schema(required)]
    loan_id: Option<i64>,
    #[schema(value_type = DecisionOutcome)]
    outcome: String,
    /// The gravest.
    #[schema(value_type = ReasonCode)]
    reason: String,
    #[schema(format = DateTime)]
    decided_at: String,
    /// The business day by which it was taken.
    #[schema(format = Date)]
    as_of: String,
    /// The policy's id.
    policy: String,
    /// 0 to 100.
    credit_score: Number,
    /// Rupees asked for.
    loan_amount: Number,
}

impl From<ListedDecision> for DecisionItem {
    fn from(decision: ListedDecision) -> Self {
        Self {
            decision_id: decision.decision_id,
            customer_id: decision.customer_id,
            loan_id: decision.loan_id,
            outcome: decision.outcome,
            reason: decision.reason,
            decided_at: decision.decided_at.to_rfc3339(),
            as_of: decision.as_of.to_string(),
            policy: decision.policy_id,
            credit_score: Number(decision.credit_score),
            loan_amount: Number(decision.loan_amount),
        }
    }
}

/// See why a decision fell as it did
///
/// With all that it was taken from: the same inputs under the same policy give the same decision again.
#[utoipa::path(get, path = "/v1/decisions/{decision_id}", tag = "decisions", operation_id = "get_decision",
    params(("decision_id" = i64, Path, description = "The decision.", example = 17)),
    responses(
        (status = 200, description = "The decision.", body = DecisionDocument),
        (status = 404, description = "There is no such decision.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn find(
    State(api): State<Api>,
    fresh: Fresh,
    decision_id: PathText,
    parameters: Parameters,
) -> Result<Json<DecisionDocument>, Problem> {
    let decision_id: DecisionId = path_id("decision_id", &decision_id)?;
    parameters.finish()?;
    let mut found = decisions::find(&api.read_models, decision_id).await?;
    if found.is_none() {
        must_be_filled(&api, Projection::Decisions).await?;
        // It may have been filled in just now.
        found = decisions::find(&api.read_models, decision_id).await?;
    }
    fresh.confirm(&api)?;
    let found = found.ok_or_else(|| Problem::not_found("decision_id", decision_id))?;
    let Decision { decision_id, customer_id, loan_id, decided_at, assessment } = found;
    let explained = Explained::new(&api.policies, assessment);
    let decided_at = decided_at.to_rfc3339();
    Ok(Json(DecisionDocument { decision_id, customer_id, loan_id, decided_at, explained }))
}

/// List decisions
///
/// The newest first.
#[utoipa::path(get, path = "/v1/decisions", tag = "decisions", operation_id = "list_decisions",
    params(
        ("customer_id" = Option<i64>, Query, minimum = 1, maximum = 9_007_199_254_740_991_u64,
         description = "Over this customer's applications.", example = 10015),
        ("outcome" = Option<DecisionOutcome>, Query, description = "That fell so.", example = "declined"),
    ),
    responses((status = 200, description = "A page of them.", body = DecisionList)))]
pub(super) async fn list(
    State(api): State<Api>,
    fresh: Fresh,
    mut parameters: Parameters,
) -> Result<Json<DecisionList>, Problem> {
    let filter = filter(&mut parameters)?;
    let page = parameters.page()?;
    parameters.finish()?;
    must_be_filled(&api, Projection::Decisions).await?;
    let below = if page.after == 0 { i64::MAX } else { page.after };
    let mut found = decisions::list(&api.read_models, filter, below, page.limit + 1).await?;
    fresh.confirm(&api)?;
    let fitting = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let there_are_more = found.len() > fitting;
    found.truncate(fitting);
    let next_cursor = found.last().filter(|_| there_are_more).map(|last| page.cursor(last.decision_id));
    Ok(Json(DecisionList { items: found.into_iter().map(DecisionItem::from).collect(), next_cursor }))
}

fn filter(parameters: &mut Parameters) -> Result<Filter, Problem> {
    let customer = parameters.take("customer_id").map(|text| {
        let id = text.parse::<i64>().ok().and_then(|id| CustomerId::try_from(id).ok());
        id.ok_or_else(|| Problem::invalid_field("customer_id", "must be the id of a customer"))
    });
    let outcome = parameters.take("outcome").map(|text| match text.as_str() {
        "approved" => Ok(Outcome::Approved),
        "declined" => Ok(Outcome::Declined),
        _ => Err(Problem::invalid_field("outcome", "must be approved or declined")),
    });
    Ok(Filter { customer: customer.transpose()?, outcome: outcome.transpose()? })
}
