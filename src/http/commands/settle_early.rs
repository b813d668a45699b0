//! `POST /v1/loans/{loan_id}/settlement`.

use aggregates::ids::LoanId;
use aggregates::loan::LoanSettledEarly;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::change::Change;
use super::repay::{self, parse};
use crate::commands::{Answer, Rendered};
use crate::http::Api;
use crate::http::number::Number;
use crate::http::precondition::IfMatch;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// The repayment that settled the loan.
#[derive(Serialize, ToSchema)]
#[schema(as = LoanSettledEarly, examples(json!({
    "repayment_id": 92, "loan_id": 11000, "customer_id": 10015, "amount": 93036.27, "interest": 921.15,
    "principal": 92115.12, "interest_waived": 4697.38, "paid_on": "2026-04-10", "reference": null,
    "instalments_paid": 12, "settled": true,
})))]
struct Settled {
    repayment_id: i64,
    loan_id: i64,
    customer_id: i64,
    /// Rupees; `interest` and `principal` are its parts.
    amount: Number,
    /// Rupees: of the months that had begun.
    interest: Number,
    /// Rupees: all that was left.
    principal: Number,
    /// Rupees of interest that the schedule asked for, and that nobody pays any more.
    interest_waived: Number,
    #[schema(format = Date)]
    paid_on: String,
    reference: Option<String>,
    /// Instalments that are paid in full: all.
    instalments_paid: u16,
    /// Whether nothing is left to pay: true.
    settled: bool,
}

/// Settle a loan before its end
///
/// By one last repayment of all that is left of the principal and of the interest of the months that have begun. The
/// amount must be exactly that; the refusal of another one names it.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/settlement", tag = "loans",
    request_body = repay::Request<'static>,
    params(("loan_id" = i64, Path, description = "The loan.", example = 11000)),
    responses(
        (status = 201, description = "The loan is settled.", body = Settled),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "The loan is settled already, another amount settles it, or the repayment's day does \
                                      not fit it.", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(super) async fn settle_early(
    State(api): State<Api>,
    loan_id: PathText,
    change: Change<IfMatch>,
) -> Result<Response, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let repayment = parse(&change.body.fields()?)?;
    let answered = api.commands.settle_early(loan_id, &repayment, change.request(), answer).await?;
    Ok(api.respond(answered, change.respond_async).await)
}

fn answer(settled: &LoanSettledEarly) -> Rendered {
    let settled = Settled {
        repayment_id: settled.repayment_id.get(),
        loan_id: settled.loan_id.get(),
        customer_id: settled.customer_id.get(),
        amount: Number(settled.amount.money().amount()),
        interest: Number(settled.interest.amount()),
        principal: Number(settled.principal.amount()),
        interest_waived: Number(settled.interest_waived.amount()),
        paid_on: settled.paid_on.to_string(),
        reference: settled.reference.clone().map(String::from),
        instalments_paid: settled.instalments_paid,
        settled: true,
    };
    Answer::json(StatusCode::CREATED.as_u16(), &settled)
}
