//! `PATCH /v1/customers/{customer_id}`.

use aggregates::ids::CustomerId;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::change::Change;
use crate::commands::{Answer, CustomerDetails, DetailsChange, Rendered};
use crate::http::Api;
use crate::http::body::{Field, Fields, digits, given, number};
use crate::http::number::Number;
use crate::http::openapi::inputs::{amount, phone_number};
use crate::http::precondition::MustMatch;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// What is to be another from now on: one of them or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DetailsChange, min_properties = 1, examples(json!({"monthly_income": 62500})))]
struct Request<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(schema_with = income, required = false)]
    monthly_income: Field<'a>,
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(schema_with = phone_number, required = false)]
    phone_number: Field<'a>,
}

/// What may be changed of the customer, and what follows from it.
#[derive(Serialize, ToSchema)]
#[schema(as = CustomerDetails, examples(json!({
    "customer_id": 10015, "monthly_income": 62500, "approved_limit": 2300000, "phone_number": "9876543210",
})))]
struct Details {
    customer_id: i64,
    /// Rupees.
    monthly_income: Number,
    /// Rupees: 36 times the income, to the nearest lakh, from the first change of the income on.
    approved_limit: Number,
    phone_number: String,
}

fn income() -> Object {
    amount("Rupees a month, over 0.", 1_000_000_000)
}

/// Change a customer's income or phone number
///
/// Another income brings another approved limit. A phone number that is given up may be taken by another customer. What
/// is so already is no change, and its revision stays.
#[utoipa::path(patch, path = "/v1/customers/{customer_id}", tag = "customers", request_body = Request<'static>,
    params(("customer_id" = i64, Path, description = "The customer.", example = 10015)),
    responses(
        (status = 200, description = "It is so from now on.", body = Details),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "The phone number belongs to another customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn change_details(
    State(api): State<Api>,
    customer_id: PathText,
    change: Change<MustMatch>,
) -> Result<Response, Problem> {
    let customer_id: CustomerId = path_id("customer_id", &customer_id)?;
    let details = parse(&change.body.fields()?)?;
    let answered = api.commands.change_details(customer_id, &details, change.request(), answer).await?;
    Ok(api.respond(answered, change.respond_async).await)
}

fn parse(request: &Request<'_>) -> Result<DetailsChange, Problem> {
    if request.monthly_income.is_none() && request.phone_number.is_none() {
        return Err(Problem::invalid_field("body", "must have monthly_income, phone_number or both"));
    }
    let mut fields = Fields::default();
    let monthly_income =
        fields.optional("monthly_income", request.monthly_income, None, |value| number(value).map(Some));
    let phone_number = fields.optional("phone_number", request.phone_number, None, |value| digits(value).map(Some));
    let (Some(monthly_income), Some(phone_number)) = (monthly_income, phone_number) else {
        return Err(fields.into_problem());
    };
    Ok(DetailsChange { monthly_income, phone_number })
}

fn answer(details: CustomerDetails) -> Rendered {
    let details = Details {
        customer_id: details.customer_id.get(),
        monthly_income: Number(details.monthly_income.money().amount()),
        approved_limit: Number(details.approved_limit.amount()),
        phone_number: details.phone_number.into(),
    };
    Answer::json(StatusCode::OK.as_u16(), &details)
}
