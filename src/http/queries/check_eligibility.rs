//! `POST /check-eligibility`: what a decision would be, without taking it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::application::{self, LoanRequest, Reason, Suggestion};
use crate::http::body::JsonBody;
use crate::http::consistency::Promised;
use crate::http::number::Number;
use crate::http::problem::{Problem, ProblemDocument};

/// What a decision would be.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "customer_id": 10015, "approval": true, "interest_rate": 10, "corrected_interest_rate": 12, "tenure": 12,
    "monthly_installment": 8884.88, "credit_score": 50,
    "reasons": [{
        "code": "rate_corrected",
        "message": "Approved at 12% a year: the lowest rate for a credit score of 50.00.",
    }],
    "alternatives": [],
})))]
pub(super) struct Eligibility {
    customer_id: i64,
    approval: bool,
    /// Percent a year, as asked for.
    interest_rate: Number,
    /// Percent a year: the rate asked for, or the lowest that the score borrows at.
    corrected_interest_rate: Number,
    /// Months.
    tenure: u16,
    /// Rupees, at the corrected rate.
    monthly_installment: Number,
    /// 0 to 100.
    credit_score: Number,
    /// All that apply, the gravest first.
    reasons: Vec<Reason>,
    /// For a decline: single changes that would pass.
    alternatives: Vec<Suggestion>,
}

/// Ask whether a loan would be granted
///
/// Has no effect.
#[utoipa::path(post, path = "/check-eligibility", tag = "originals", request_body = LoanRequest<'static>,
    responses(
        (status = 200, description = "What the decision would be.", body = Eligibility),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn check_eligibility(
    State(api): State<Api>,
    promised: Promised,
    body: JsonBody,
) -> Result<Json<Eligibility>, Problem> {
    let (customer_id, application) = application::parse(&body)?;
    let profile = api.profile(customer_id, promised).await?;
    let assessment = api.policies.in_force().assess(profile.standing(api.calendar.today())?, application)?;
    Ok(Json(Eligibility {
        customer_id: customer_id.get(),
        approval: assessment.is_approved(),
        interest_rate: Number(assessment.application.interest_rate.percent()),
        corrected_interest_rate: Number(assessment.corrected_rate.percent()),
        tenure: assessment.application.tenure.months(),
        monthly_installment: Number(assessment.instalment.amount()),
        credit_score: Number(assessment.score.value),
        alternatives: assessment.alternatives.into_iter().map(Suggestion::from).collect(),
        reasons: assessment.reasons.into_iter().map(Reason::from).collect(),
    }))
}
