//! `POST /v1/loans/{loan_id}/repayments`.

use aggregates::Invalid;
use aggregates::ids::LoanId;
use aggregates::loan::RepaymentReceived;
use aggregates::repayment::MAX_REFERENCE_CHARS;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{SchemaType, Type};

use super::change::Change;
use crate::commands::{Answer, Rendered, Repayment};
use crate::http::Api;
use crate::http::body::{Field, Fields, number, string, text};
use crate::http::number::Number;
use crate::http::openapi::inputs::{amount, line};
use crate::http::precondition::IfMatch;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// What was paid.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Repayment, examples(
    json!({"amount": 8884.88, "reference": "UPI 4471"}),
    json!({"amount": 8884.88, "paid_on": "2026-03-31"}),
))]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    #[schema(schema_with = paid)]
    amount: Field<'a>,
    /// The day it was paid; today unless told. Not in the future, nor before the loan's start or an earlier repayment.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Date)]
    paid_on: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = reference, required = false)]
    reference: Field<'a>,
}

fn paid() -> Object {
    amount("Rupees, over 0, at most two decimals, and at most what is outstanding.", 10_000_000_000)
}

fn reference() -> Object {
    let reference = line("What the payer or the bank calls it.", MAX_REFERENCE_CHARS);
    reference.schema_type(SchemaType::from_iter([Type::String, Type::Null])).build()
}

/// How the repayment was used, and what is left.
#[derive(Serialize, ToSchema)]
#[schema(as = RepaymentReceived, examples(json!({
    "repayment_id": 91, "loan_id": 11000, "customer_id": 10015, "amount": 8884.88, "interest": 1000, "principal": 7884.88,
    "paid_on": "2026-03-31", "reference": "UPI 4471", "outstanding": 97733.65, "outstanding_principal": 92115.12,
    "instalments_paid": 1, "settled": false,
})))]
struct Received {
    repayment_id: i64,
    loan_id: i64,
    customer_id: i64,
    /// Rupees; `interest` and `principal` are its parts.
    amount: Number,
    /// Rupees.
    interest: Number,
    /// Rupees.
    principal: Number,
    #[schema(format = Date)]
    paid_on: String,
    #[schema(required)]
    reference: Option<String>,
    /// Rupees that are still to be paid, interest included.
    outstanding: Number,
    /// Rupees of them that are principal.
    outstanding_principal: Number,
    /// Instalments that are paid in full.
    instalments_paid: u16,
    /// Whether nothing is left to pay.
    settled: bool,
}

/// Take a repayment
///
/// Instalments are paid in their order, each one's interest before its principal; partial and early payments are
/// taken.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/repayments", tag = "loans", request_body = Request<'static>,
    params(("loan_id" = i64, Path, description = "The loan.", example = 11000)),
    responses(
        (status = 201, description = "The repayment is taken.", body = Received),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "The loan is settled, or the repayment does not fit it.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn repay(
    State(api): State<Api>,
    loan_id: PathText,
    change: Change<IfMatch>,
) -> Result<Response, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let repayment = parse(&change.body.fields()?)?;
    let answered = api.commands.repay(loan_id, &repayment, change.request(), answer).await?;
    Ok(api.respond(answered, change.respond_async).await)
}

/// A repayment, as the early settlement's body has it too.
pub(super) fn parse(request: &Request<'_>) -> Result<Repayment, Problem> {
    let mut fields = Fields::default();
    let amount = fields.required("amount", request.amount, number);
    let paid_on = fields.optional("paid_on", request.paid_on, None, |value| {
        let day = NaiveDate::parse_from_str(&string(value)?, "%Y-%m-%d");
        day.map(Some).map_err(|_| Invalid("must be a day such as 2026-03-31".to_owned()))
    });
    let reference = fields.optional("reference", request.reference, None, |value| text(value).map(Some));
    let (Some(amount), Some(paid_on), Some(reference)) = (amount, paid_on, reference) else {
        return Err(fields.into_problem());
    };
    Ok(Repayment { amount, paid_on, reference })
}

fn answer(received: &RepaymentReceived) -> Rendered {
    let received = Received {
        repayment_id: received.repayment_id.get(),
        loan_id: received.loan_id.get(),
        customer_id: received.customer_id.get(),
        amount: Number(received.amount.money().amount()),
        interest: Number(received.interest.amount()),
        principal: Number(received.principal.amount()),
        paid_on: received.paid_on.to_string(),
        reference: received.reference.clone().map(String::from),
        outstanding: Number(received.outstanding.amount()),
        outstanding_principal: Number(received.outstanding_principal.amount()),
        instalments_paid: received.instalments_paid,
        settled: received.settled,
    };
    Answer::json(StatusCode::CREATED.as_u16(), &received)
}
