//! `POST /create-loan`.

use aggregates::ids::CustomerId;
use aggregates::policy::decision::Reason;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::commands::{Answer, LoanApplication, Origin, Rendered};
use crate::http::Api;
use crate::http::application::{self, Suggestion};
use crate::http::consistency::RespondAsync;
use crate::http::idempotency::Submission;
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
    Submission { keyed, body }: Submission,
) -> Result<Response, Problem> {
    let (customer_id, application) = application::parse(&body)?;
    let render = |outcome| answer(customer_id, outcome);
    let answered = api.commands.apply_for_loan(customer_id, application, keyed.as_ref(), &origin, render).await?;
    Ok(api.respond(answered, respond_async).await)
}

fn answer(customer_id: CustomerId, outcome: LoanApplication) -> Rendered {
    let LoanApplication { decision_id, loan_id, assessment } = outcome;
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
    Answer::json(status.as_u16(), &decided)
}
