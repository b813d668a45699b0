//! `GET /v1/customers/{customer_id}/history` and `GET /v1/loans/{loan_id}/history`.

use aggregates::ids::{CustomerId, LoanId};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::told::Event;
use crate::audit::{HISTORY_ORDER, Stream, history};
use crate::http::Api;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// A page of a stream's events.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "position": 1042, "recorded_at": "2026-11-24T09:30:00.123456+00:00", "customer_id": 10015,
    "aggregate_type": "customer", "aggregate_id": "301", "sequence": 3, "type": "PhoneNumberChanged", "version": "1.0",
    "data": {"customer_id": 10015, "personal": {"phone_number": "9876543210"}, "changed_at": "2026-11-24T09:30:00Z"},
    "metadata": {"customer_id": "301", "request_id": "checkout-7f3a"}, "summary": "The phone number changed.",
}], "next_cursor": null})))]
pub(super) struct History {
    items: Vec<Event>,
    /// Continues behind the last item; null on the last page.
    next_cursor: Option<String>,
}

/// See a customer's history
///
/// The events of its own stream in their order: its registration, changes of its details, decisions on its
/// applications, and what its loans mean for its credit.
#[utoipa::path(get, path = "/v1/customers/{customer_id}/history", tag = "customers",
    params(
        ("customer_id" = i64, Path, description = "The customer.", example = 10015),
    ),
    responses(
        (status = 200, description = "A page.", body = History),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn customer_history(
    State(api): State<Api>,
    customer_id: PathText,
    parameters: Parameters,
) -> Result<Json<History>, Problem> {
    let customer_id: CustomerId = path_id("customer_id", &customer_id)?;
    page(&api, Stream::Customer, "customer_id", customer_id.get(), parameters).await
}

/// See a loan's history
///
/// The events of its stream in their order: its beginning, repayments and reversals, settlement, write-off.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/history", tag = "loans",
    params(
        ("loan_id" = i64, Path, description = "The loan.", example = 11000),
    ),
    responses(
        (status = 200, description = "A page.", body = History),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn loan_history(
    State(api): State<Api>,
    loan_id: PathText,
    parameters: Parameters,
) -> Result<Json<History>, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    page(&api, Stream::Loan, "loan_id", loan_id.get(), parameters).await
}

async fn page(
    api: &Api,
    stream: Stream,
    field: &'static str,
    id: i64,
    parameters: Parameters,
) -> Result<Json<History>, Problem> {
    let paging = parameters.finish_list(HISTORY_ORDER)?;
    let found = history(&api.log, stream, id, &paging.page).await?;
    let found = found.ok_or_else(|| Problem::not_found(field, id))?;
    let next_cursor = paging.cursor(found.next.as_ref());
    Ok(Json(History { items: found.items.into_iter().map(Event::from).collect(), next_cursor }))
}
