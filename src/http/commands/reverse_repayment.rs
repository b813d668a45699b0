//! `POST /v1/loans/{loan_id}/repayments/{repayment_id}/reversal`.

use aggregates::ids::{LoanId, RepaymentId};
use aggregates::loan::RepaymentReversed;
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
use crate::http::queries::{PathTexts, path_id};

/// How the loan stands without the repayment.
#[derive(Serialize, ToSchema)]
#[schema(as = RepaymentReversed, examples(json!({
    "repayment_id": 91, "loan_id": 11000, "customer_id": 10015, "amount": 8884.88, "reason": "posted to the wrong loan",
    "reversed_on": "2026-04-02", "outstanding": 97733.65, "outstanding_principal": 92115.12, "instalments_paid": 1,
    "settled": false, "reallocated": [{
        "repayment_id": 92, "interest": 1000, "principal": 7884.88, "settles_loan_early": false, "interest_waived": 0,
    }],
})))]
struct Reversed {
    repayment_id: i64,
    loan_id: i64,
    customer_id: i64,
    /// Rupees that do not count any more.
    amount: Number,
    reason: String,
    #[schema(format = Date)]
    reversed_on: String,
    /// Rupees that are to be paid again, interest included.
    outstanding: Number,
    /// Rupees of them that are principal.
    outstanding_principal: Number,
    /// Instalments that are paid in full by what remains.
    instalments_paid: u16,
    /// Whether nothing is left to pay.
    settled: bool,
    /// The later repayments that pay something else now.
    reallocated: Vec<Reallocated>,
}

/// A repayment that is split otherwise than before.
#[derive(Serialize, ToSchema)]
struct Reallocated {
    repayment_id: i64,
    /// Rupees.
    interest: Number,
    /// Rupees.
    principal: Number,
    /// Whether it settles the loan early: one that did and no longer is enough is an ordinary repayment.
    settles_loan_early: bool,
    /// Rupees of interest that nobody pays any more because of it.
    interest_waived: Number,
}

/// Reverse a repayment
///
/// One that was posted in error: the loan stands as if it had never come, and the repayments after it are allocated
/// anew. A reversed settlement brings the schedule back.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/repayments/{repayment_id}/reversal", tag = "loans",
    request_body = reason::Request<'static>,
    params(
        ("loan_id" = i64, Path, description = "The loan.", example = 11000),
        ("repayment_id" = i64, Path, description = "One of its repayments.", example = 91),
    ),
    responses(
        (status = 201, description = "The repayment is reversed.", body = Reversed),
        (status = 404, description = "There is no such loan, or the loan has no such repayment.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "The repayment is reversed already.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn reverse_repayment(
    State(api): State<Api>,
    PathTexts([loan_id, repayment_id]): PathTexts<2>,
    change: Change<IfMatch>,
) -> Result<Response, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let repayment_id: RepaymentId = path_id("repayment_id", &repayment_id)?;
    let reason = parse(&change.body.fields()?)?;
    let answered = api.commands.reverse_repayment((loan_id, repayment_id), &reason, change.request(), answer).await?;
    Ok(api.respond(answered, change.respond_async).await)
}

fn answer(reversed: &RepaymentReversed) -> Rendered {
    let reallocated = reversed.reallocated.iter().map(|anew| Reallocated {
        repayment_id: anew.repayment_id.get(),
        interest: Number(anew.interest.amount()),
        principal: Number(anew.principal.amount()),
        settles_loan_early: anew.settles_loan_early,
        interest_waived: Number(anew.interest_waived.amount()),
    });
    let reversed = Reversed {
        repayment_id: reversed.repayment_id.get(),
        loan_id: reversed.loan_id.get(),
        customer_id: reversed.customer_id.get(),
        amount: Number(reversed.amount.money().amount()),
        reason: reversed.reason.clone().into(),
        reversed_on: reversed.reversed_on.to_string(),
        outstanding: Number(reversed.outstanding.amount()),
        outstanding_principal: Number(reversed.outstanding_principal.amount()),
        instalments_paid: reversed.instalments_paid,
        settled: reversed.outstanding.is_zero(),
        reallocated: reallocated.collect(),
    };
    Answer::json(StatusCode::CREATED.as_u16(), &reversed)
}
