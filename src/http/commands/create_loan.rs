//! `POST /create-loan`.

use aggregates::policy::decision::Reason;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;

use crate::commands::{LoanApplication, Origin};
use crate::http::Api;
use crate::http::application::{self, Suggestion};
use crate::http::body::JsonBody;
use crate::http::consistency::{RespondAsync, token};
use crate::http::number::Number;
use crate::http::problem::Problem;

#[derive(Serialize)]
struct Decided {
    loan_id: Option<i64>,
    customer_id: i64,
    loan_approved: bool,
    message: String,
    monthly_installment: Number,
    interest_rate: Number,
    credit_score: Number,
    decision_id: i64,
    reasons: Vec<Reason>,
    alternatives: Vec<Suggestion>,
}

pub(in crate::http) async fn create_loan(
    State(api): State<Api>,
    Extension(origin): Extension<Origin>,
    respond_async: Option<RespondAsync>,
    body: JsonBody,
) -> Result<impl IntoResponse, Problem> {
    let (customer_id, application) = application::parse(&body)?;
    let done = api.commands.apply_for_loan(customer_id, application, &origin).await?;
    api.make_visible(done.place, respond_async).await;
    let LoanApplication { decision_id, loan_id, assessment } = done.outcome;
    let decided = Decided {
        loan_id: loan_id.map(i64::from),
        customer_id: customer_id.get(),
        loan_approved: assessment.is_approved(),
        message: assessment.headline().to_owned(),
        monthly_installment: Number(assessment.instalment.amount()),
        interest_rate: Number(assessment.corrected_rate.percent()),
        credit_score: Number(assessment.score.value),
        decision_id: decision_id.get(),
        alternatives: assessment.alternatives.into_iter().map(Suggestion::from).collect(),
        reasons: assessment.reasons,
    };
    let status = if decided.loan_approved { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [token(done.place)], Json(decided)))
}
