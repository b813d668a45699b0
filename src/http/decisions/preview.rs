//! `POST /v1/decisions/preview`: what a decision would be, under any policy, today or on any past day.

use aggregates::ids::CustomerId;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::explained::Explained;
use crate::http::Api;
use crate::http::application::{asked_for, loan_amount};
use crate::http::body::{Field, Fields, JsonBody, integer, string};
use crate::http::consistency::Promised;
use crate::http::openapi::inputs::rate;
use crate::http::operations::credit_score::past_day;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};

/// Who would ask for what, when, and under which policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "customer_id": 10015, "loan_amount": 500000, "interest_rate": 14, "tenure": 24, "as_of": "2026-03-31",
    "policy": "literal-1",
})))]
pub(super) struct PreviewRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = i64, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    customer_id: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = loan_amount)]
    loan_amount: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = rate)]
    interest_rate: Field<'a>,
    /// Months.
    #[serde(borrow)]
    #[schema(value_type = u16, minimum = 1, maximum = 480)]
    tenure: Field<'a>,
    /// Whether to borrow at a higher rate than was asked for, where the score demands one. False declines instead.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>, default = true)]
    accept_corrected_rate: Field<'a>,
    /// The day, today or earlier; today unless told. A past day goes by what was known of the customer then.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Date)]
    as_of: Field<'a>,
    /// The policy's id; the one in force unless told.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    policy: Field<'a>,
}

/// What a decision would be, and why.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "customer_id": 10015, "outcome": "approved", "as_of": "2026-03-31",
    "application": {"loan_amount": 100000, "interest_rate": 14, "tenure": 24, "accept_corrected_rate": true},
    "standing": {"monthly_income": 50000, "approved_limit": 1800000, "loans_taken": 0, "loans_started_this_year": 0,
                 "instalments_due": 0, "instalments_paid_on_time": 0, "current_loans": 0,
                 "current_loans_amount": 0, "current_instalments": 0},
    "credit_score": 50, "rule": "no_loans",
    "components": [
        {"name": "on_time", "weight": 40, "points": 20,
         "inputs": {"instalments_paid_on_time": 0, "instalments_due": 0}},
        {"name": "track_record", "weight": 20, "points": 0, "inputs": {"loans_taken": 0}},
        {"name": "current_year_activity", "weight": 20, "points": 20, "inputs": {"loans_started_this_year": 0}},
        {"name": "approved_volume", "weight": 20, "points": 20,
         "inputs": {"current_loans_amount": 0, "approved_limit": 1800000}},
    ],
    "minimum_interest_rate": 12, "corrected_interest_rate": 14, "monthly_installment": 4801.29,
    "policy": {
        "id": "literal-1", "version": 1,
        "digest": "c53281f2125cc5e63bd22f7456541a568aaab4ee65fe5c1a3115a8c7c2912c43",
        "rules": {
            "weights": {"on_time": 40, "track_record": 20, "current_year_activity": 20, "approved_volume": 20},
            "score": {"without_loans": 50, "nothing_due_percent": 50, "full_track_record_loans": 5,
                      "loss_per_loan_this_year_percent": 25},
            "caps": {"instalments_percent_of_income": 50, "count_requested_loan": false},
            "floors": [{"score_above": 50, "minimum_interest_rate": 0}, {"score_above": 30, "minimum_interest_rate": 12},
                       {"score_above": 10, "minimum_interest_rate": 16}],
        },
    },
    "reasons": [{"code": "within_policy", "message": "Approved at 14% a year, with a credit score of 50.00."}],
    "alternatives": [],
})))]
pub(super) struct Preview {
    customer_id: i64,
    #[serde(flatten)]
    explained: Explained,
}

/// Ask what a decision would be
///
/// Today or on any past day, under the policy in force or another one. Has no effect.
#[utoipa::path(post, path = "/v1/decisions/preview", tag = "decisions", operation_id = "preview_decision",
    request_body = PreviewRequest<'static>,
    responses(
        (status = 200, description = "What it would be, and why.", body = Preview),
        (status = 404, description = "There is no such customer, or there was none on that day, or no such policy.",
         body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(super) async fn preview(
    State(api): State<Api>,
    promised: Promised,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Json<Preview>, Problem> {
    parameters.finish()?;
    let request: PreviewRequest<'_> = body.fields()?;
    let today = api.calendar.today();
    let mut fields = Fields::default();
    let customer = fields.required("customer_id", request.customer_id, integer::<i64, CustomerId>);
    let PreviewRequest { loan_amount, interest_rate, tenure, accept_corrected_rate, .. } = request;
    let application = asked_for(&mut fields, loan_amount, interest_rate, tenure, accept_corrected_rate);
    let as_of = fields.optional("as_of", request.as_of, None, |day| past_day(&string(day)?, today).map(Some));
    let policy = fields.optional("policy", request.policy, None, |id| string(id).map(Some));
    let (Some(customer), Some(application), Some(as_of), Some(policy)) = (customer, application, as_of, policy) else {
        return Err(fields.into_problem());
    };
    let policy = match policy {
        None => api.policies.in_force(),
        Some(id) => api.policies.get(&id).map_err(|_| Problem::not_found("policy", id))?,
    };
    let profile = match as_of {
        None => api.profile(customer, promised).await?,
        Some(day) => api.past_profile(customer, day, promised).await?,
    };
    let assessment = policy.assess(profile.standing(as_of.unwrap_or(today))?, application)?;
    Ok(Json(Preview { customer_id: customer.get(), explained: Explained::new(&api.policies, assessment) }))
}
