//! `POST /check-eligibility`: what a decision would be, without taking it.

use aggregates::policy::decision::Reason;
use axum::Json;
use axum::extract::State;
use projections::credit_profiles;
use serde::Serialize;

use crate::http::Api;
use crate::http::application::{self, Suggestion};
use crate::http::body::JsonBody;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::problem::Problem;

#[derive(Serialize)]
pub(in crate::http) struct Eligibility {
    customer_id: i64,
    approval: bool,
    interest_rate: Number,
    corrected_interest_rate: Number,
    tenure: u16,
    monthly_installment: Number,
    credit_score: Number,
    reasons: Vec<Reason>,
    alternatives: Vec<Suggestion>,
}

pub(in crate::http) async fn check_eligibility(
    State(api): State<Api>,
    fresh: Fresh,
    body: JsonBody,
) -> Result<Json<Eligibility>, Problem> {
    let (customer_id, application) = application::parse(&body)?;
    let profile = credit_profiles::find(&api.read_models, customer_id).await?;
    fresh.confirm(&api)?;
    let profile = profile.ok_or_else(|| Problem::not_found("customer_id", customer_id))?;
    let assessment = api.policy.assess(profile.standing(api.calendar.today())?, application)?;
    Ok(Json(Eligibility {
        customer_id: customer_id.get(),
        approval: assessment.is_approved(),
        interest_rate: Number(assessment.application.interest_rate.percent()),
        corrected_interest_rate: Number(assessment.corrected_rate.percent()),
        tenure: assessment.application.tenure.months(),
        monthly_installment: Number(assessment.instalment.amount()),
        credit_score: Number(assessment.score.value),
        alternatives: assessment.alternatives.into_iter().map(Suggestion::from).collect(),
        reasons: assessment.reasons,
    }))
}
