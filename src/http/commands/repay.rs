//! `POST /v1/loans/{loan_id}/repayments`.

use aggregates::Invalid;
use aggregates::ids::LoanId;
use aggregates::loan::RepaymentReceived;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::commands::{Answer, Origin, Rendered, Repayment};
use crate::http::Api;
use crate::http::body::{Field, Fields, number, string, text};
use crate::http::consistency::RespondAsync;
use crate::http::idempotency::Submission;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::queries::{PathText, path_id};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow)]
    amount: Field<'a>,
    #[serde(borrow)]
    paid_on: Field<'a>,
    #[serde(borrow)]
    reference: Field<'a>,
}

#[derive(Serialize)]
struct Received {
    repayment_id: i64,
    loan_id: i64,
    customer_id: i64,
    amount: Number,
    interest: Number,
    principal: Number,
    paid_on: String,
    reference: Option<String>,
    outstanding: Number,
    outstanding_principal: Number,
    instalments_paid: u16,
    settled: bool,
}

pub(in crate::http) async fn repay(
    State(api): State<Api>,
    Extension(origin): Extension<Origin>,
    respond_async: Option<RespondAsync>,
    loan_id: PathText,
    parameters: Parameters,
    Submission { keyed, body }: Submission,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let repayment = parse(&body.fields()?)?;
    let answered = api.commands.repay(loan_id, &repayment, keyed.as_ref(), &origin, answer).await?;
    Ok(api.respond(answered, respond_async).await)
}

fn parse(request: &Request<'_>) -> Result<Repayment, Problem> {
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

fn answer(received: RepaymentReceived) -> Rendered {
    let received = Received {
        repayment_id: received.repayment_id.get(),
        loan_id: received.loan_id.get(),
        customer_id: received.customer_id.get(),
        amount: Number(received.amount.money().amount()),
        interest: Number(received.interest.amount()),
        principal: Number(received.principal.amount()),
        paid_on: received.paid_on.to_string(),
        reference: received.reference.map(String::from),
        outstanding: Number(received.outstanding.amount()),
        outstanding_principal: Number(received.outstanding_principal.amount()),
        instalments_paid: received.instalments_paid,
        settled: received.settled,
    };
    Answer::json(StatusCode::CREATED.as_u16(), &received)
}
