//! `POST /create-loan`.

use aggregates::ids::CustomerId;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::commands::{Answer, LoanApplication, Origin, Rendered};
use crate::http::Api;
use crate::http::application::{self, LoanRequest, Reason, Suggestion};
use crate::http::consistency::RespondAsync;
use crate::http::idempotency::Submission;
use crate::http::number::Number;
use crate::http::problem::{Problem, ProblemDocument};

/// The decision, and the loan where it is an approval.
#[derive(Serialize, ToSchema)]
struct Decided {
    /// Null when declined.
    #[schema(required)]
    loan_id: Option<i64>,
    customer_id: i64,
    loan_approved: bool,
    /// The gravest reason's sentence.
    message: String,
    /// Rupees, at the rate of `interest_rate`.
    monthly_installment: Number,
    /// Percent a year: the rate asked for, or the lowest that the score borrows at.
    interest_rate: Number,
    /// 0 to 100.
    credit_score: Number,
    /// Under which the decision can be looked up.
    decision_id: i64,
    /// All that apply, the gravest first.
    reasons: Vec<Reason>,
    /// For a decline: single changes that would pass.
    alternatives: Vec<Suggestion>,
}

/// Apply for a loan
///
/// Decides, and opens the loan when it is approved. Either way the decision is kept with all that it was taken from.
#[utoipa::path(post, path = "/create-loan", tag = "originals", request_body = LoanRequest<'static>,
    responses(
        (status = 200, description = "Declined; the reasons say why.", body = Decided, example = json!({
            "loan_id": null, "customer_id": 10015, "loan_approved": false,
            "message": "Current loans and this one, 2100000.00 in all, exceed the approved limit of 1800000.00.",
            "monthly_installment": 20290.21, "interest_rate": 10, "credit_score": 57.89, "decision_id": 512,
            "reasons": [{
                "code": "limit_exceeded",
                "message": "Current loans and this one, 2100000.00 in all, exceed the approved limit of 1800000.00.",
            }],
            "alternatives": [{"change": "smaller_amount", "loan_amount": 1700000}],
        })),
        (status = 201, description = "Approved; the loan is open.", body = Decided, example = json!({
            "loan_id": 10781, "customer_id": 10015, "loan_approved": true,
            "message": "Approved at 12% a year: the lowest rate for a credit score of 50.00.",
            "monthly_installment": 8884.88, "interest_rate": 12, "credit_score": 50, "decision_id": 513,
            "reasons": [{
                "code": "rate_corrected",
                "message": "Approved at 12% a year: the lowest rate for a credit score of 50.00.",
            }],
            "alternatives": [],
        })),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn create_loan(
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
        reasons: assessment.reasons.into_iter().map(Reason::from).collect(),
    };
    let status = if decided.loan_approved { StatusCode::CREATED } else { StatusCode::OK };
    Answer::json(status.as_u16(), &decided)
}
