//! `POST /v1/loans/{loan_id}/write-off`.

use aggregates::ids::LoanId;
use aggregates::loan::LoanWrittenOff;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::change::Change;
use super::reason::{self, parse};
use crate::commands::{Answer, Rendered};
use crate::http::Api;
use crate::http::number::Number;
use crate::http::precondition::IfMatch;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// What was written off.
#[derive(Serialize, ToSchema)]
#[schema(as = LoanWrittenOff, examples(json!({
    "loan_id": 11000, "customer_id": 10015, "outstanding": 97733.65, "outstanding_principal": 92115.12,
    "reason": "the borrower has died", "written_off_on": "2026-11-24",
})))]
struct WrittenOff {
    loan_id: i64,
    customer_id: i64,
    /// Rupees that are still owed, interest included.
    outstanding: Number,
    /// Rupees of them that are principal.
    outstanding_principal: Number,
    reason: String,
    #[schema(format = Date)]
    written_off_on: String,
}

/// Write a loan off
///
/// It stays owed and goes on counting against the customer's limit; what is recovered is an ordinary repayment. It cannot
/// be undone.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/write-off", tag = "loans", request_body = reason::Request<'static>,
    params(("loan_id" = i64, Path, description = "The loan.", example = 11000)),
    responses(
        (status = 200, description = "The loan is written off.", body = WrittenOff),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "The loan is settled, or written off already.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn write_off(
    State(api): State<Api>,
    loan_id: PathText,
    change: Change<IfMatch>,
) -> Result<Response, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let reason = parse(&change.body.fields()?)?;
    let answered = api.commands.write_off(loan_id, &reason, change.request(), answer).await?;
    Ok(api.respond(answered, change.respond_async).await)
}

fn answer(written_off: &LoanWrittenOff) -> Rendered {
    let written_off = WrittenOff {
        loan_id: written_off.loan_id.get(),
        customer_id: written_off.customer_id.get(),
        outstanding: Number(written_off.outstanding.amount()),
        outstanding_principal: Number(written_off.outstanding_principal.amount()),
        reason: written_off.reason.clone().into(),
        written_off_on: written_off.written_off_on.to_string(),
    };
    Answer::json(StatusCode::OK.as_u16(), &written_off)
}
