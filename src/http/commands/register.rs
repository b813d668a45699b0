//! `POST /register`.

use aggregates::person::{MonthlyIncome, PersonalData};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use crate::commands::{self, Answer, Origin, Registration, Rendered};
use crate::http::Api;
use crate::http::body::{Field, Fields, digits, integer, number, text};
use crate::http::consistency::RespondAsync;
use crate::http::idempotency::Submission;
use crate::http::number::Number;
use crate::http::openapi::inputs::{amount, name, phone_number};
use crate::http::problem::{Problem, ProblemDocument};

/// Who wants to become a customer.
#[derive(Deserialize, ToSchema)]
#[schema(as = Registration, examples(json!({
    "first_name": "Asha", "last_name": "Rao", "age": 30, "monthly_income": 50000, "phone_number": "9876543210",
})))]
struct Request<'a> {
    #[serde(borrow)]
    #[schema(schema_with = name)]
    first_name: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = name)]
    last_name: Field<'a>,
    /// Years.
    #[serde(borrow)]
    #[schema(value_type = u8, minimum = 18, maximum = 120)]
    age: Field<'a>,
    /// Rupees a month.
    #[serde(borrow)]
    #[schema(schema_with = income)]
    monthly_income: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = phone_number)]
    phone_number: Field<'a>,
}

/// The new customer.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "customer_id": 10301, "name": "Asha Rao", "age": 30, "monthly_income": 50000, "approved_limit": 1800000,
    "phone_number": "9876543210",
})))]
struct Registered {
    customer_id: i64,
    /// First and last name.
    name: String,
    /// Years.
    age: u8,
    /// Rupees.
    monthly_income: Number,
    /// Rupees: 36 times the income, to the nearest lakh.
    approved_limit: Number,
    phone_number: String,
}

fn income() -> Object {
    amount("Rupees a month, over 0.", 1_000_000_000)
}

/// Register a customer
///
/// The approved limit follows from the income.
#[utoipa::path(post, path = "/register", tag = "originals", request_body = Request<'static>,
    responses(
        (status = 201, description = "The customer is registered.", body = Registered),
        (status = 409, description = "The phone number belongs to another customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn register(
    State(api): State<Api>,
    Extension(origin): Extension<Origin>,
    respond_async: Option<RespondAsync>,
    Submission { keyed, body }: Submission,
) -> Result<Response, Problem> {
    let registration = parse(&body.fields()?)?;
    let render = |outcome| answer(&registration, outcome);
    let answered = api.commands.register(&registration, keyed.as_ref(), &origin, render).await?;
    Ok(api.respond(answered, respond_async).await)
}

fn answer(registration: &Registration, outcome: commands::Registered) -> Rendered {
    let Registration { personal, monthly_income } = registration;
    let registered = Registered {
        customer_id: outcome.customer_id.get(),
        name: format!("{} {}", personal.first_name.as_str(), personal.last_name.as_str()),
        age: personal.age.years(),
        monthly_income: Number(monthly_income.money().amount()),
        approved_limit: Number(outcome.approved_limit.amount()),
        phone_number: personal.phone_number.as_str().to_owned(),
    };
    Answer::json(StatusCode::CREATED.as_u16(), &registered)
}

fn parse(request: &Request<'_>) -> Result<Registration, Problem> {
    let mut fields = Fields::default();
    let first_name = fields.required("first_name", request.first_name, text);
    let last_name = fields.required("last_name", request.last_name, text);
    let age = fields.required("age", request.age, integer::<u8, _>);
    let monthly_income: Option<MonthlyIncome> = fields.required("monthly_income", request.monthly_income, number);
    let phone_number = fields.required("phone_number", request.phone_number, digits);
    let (Some(first_name), Some(last_name), Some(age), Some(monthly_income), Some(phone_number)) =
        (first_name, last_name, age, monthly_income, phone_number)
    else {
        return Err(fields.into_problem());
    };
    let personal = PersonalData { first_name, last_name, age, phone_number };
    Ok(Registration { personal, monthly_income })
}
