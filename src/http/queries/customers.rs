//! `GET /v1/customers` and `GET /v1/customers/{customer_id}`.

use aggregates::ids::CustomerId;
use aggregates::person::PhoneNumber;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use projections::bounds::Bounds;
use projections::customers::{self, CustomerFilter, CustomerSummary, CustomerView};
use serde::Serialize;
use utoipa::ToSchema;

use super::{PathText, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::if_none_match::IfNoneMatch;
use crate::http::number::Number;
use crate::http::openapi::inputs::{AmountBound, DayOrMoment};
use crate::http::parameters::{Parameters, parse_amount, parse_instant};
use crate::http::problem::{Problem, ProblemDocument};

/// A page of customers.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "customer_id": 10015, "first_name": "Asha", "last_name": "Rao", "phone_number": "9876543210",
    "monthly_income": 50000, "approved_limit": 1800000, "registered_at": "2026-11-24T09:30:00+00:00",
}], "next_cursor": "c2~5f0c4a1be0d7~301"})))]
pub(super) struct CustomerList {
    items: Vec<ListedCustomer>,
    /// Continues behind the last item, under the same filters; null on the last page.
    next_cursor: Option<String>,
}

/// A customer in a list.
#[derive(Serialize, ToSchema)]
struct ListedCustomer {
    customer_id: i64,
    first_name: String,
    last_name: String,
    phone_number: String,
    /// Rupees a month.
    monthly_income: Number,
    /// Rupees.
    approved_limit: Number,
    /// When it was registered, or taken over from another system.
    #[schema(format = DateTime)]
    registered_at: String,
}

/// A customer, with all that is known of it.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "customer_id": 10015, "external_id": null, "first_name": "Asha", "last_name": "Rao", "age": 30,
    "phone_number": "9876543210", "monthly_income": 50000, "approved_limit": 1800000,
    "registered_at": "2026-11-24T09:30:00+00:00", "revision": 1,
})))]
pub(super) struct Customer {
    customer_id: i64,
    /// The id in the system it was taken over from, where it could not be kept.
    external_id: Option<String>,
    first_name: String,
    last_name: String,
    /// Years.
    age: i16,
    phone_number: String,
    /// Rupees a month.
    monthly_income: Number,
    /// Rupees.
    approved_limit: Number,
    /// When it was registered, or taken over from another system.
    #[schema(format = DateTime)]
    registered_at: String,
    /// 1, and one more with each change of income or phone number; also what the `ETag` holds.
    revision: i32,
}

impl From<CustomerSummary> for ListedCustomer {
    fn from(customer: CustomerSummary) -> Self {
        Self {
            customer_id: customer.customer_id,
            first_name: customer.first_name,
            last_name: customer.last_name,
            phone_number: customer.phone_number,
            monthly_income: Number(customer.monthly_income),
            approved_limit: Number(customer.approved_limit),
            registered_at: customer.registered_at.to_rfc3339(),
        }
    }
}

impl From<CustomerView> for Customer {
    fn from(customer: CustomerView) -> Self {
        Self {
            customer_id: customer.customer_id,
            external_id: customer.external_id,
            first_name: customer.first_name,
            last_name: customer.last_name,
            age: customer.age,
            phone_number: customer.phone_number,
            monthly_income: Number(customer.monthly_income),
            approved_limit: Number(customer.approved_limit),
            registered_at: customer.registered_at.to_rfc3339(),
            revision: customer.revision,
        }
    }
}

fn filter(api: &Api, parameters: &mut Parameters) -> CustomerFilter {
    let instant = |text: &str| parse_instant(text, |day| api.calendar.begins(day));
    CustomerFilter {
        phone_number: parameters.read("phone_number", |text| PhoneNumber::try_from(text)),
        monthly_income: Bounds {
            from: parameters.read("min_monthly_income", parse_amount),
            to: parameters.read("max_monthly_income", parse_amount),
        },
        min_approved_limit: parameters.read("min_approved_limit", parse_amount),
        registered_at: Bounds {
            from: parameters.read("registered_after", instant),
            to: parameters.read("registered_before", instant),
        },
    }
}

/// List customers
///
/// All filters that are given hold together. The order follows the first of them that is given, of: phone number,
/// income (then limit), limit, registration; without any it is that of the ids. It is ascending.
#[utoipa::path(get, path = "/v1/customers", tag = "customers",
    params(
        ("phone_number" = Option<String>, Query, pattern = "^[0-9]{5,15}$", description = "Whose number it is.", example = "9876543210"),
        ("min_monthly_income" = inline(Option<AmountBound>), Query, description = "Rupees; included.", example = 40000),
        ("max_monthly_income" = inline(Option<AmountBound>), Query, description = "Rupees; included.", example = 60000),
        ("min_approved_limit" = inline(Option<AmountBound>), Query, description = "Rupees; included.", example = 1000000),
        ("registered_after" = inline(Option<DayOrMoment>), Query, description = "At this moment (RFC 3339) or later; a day stands \
            for its beginning, as the business counts days.", example = "2026-01-01"),
        ("registered_before" = inline(Option<DayOrMoment>), Query, description = "Before this moment (RFC 3339); a day stands for \
            its beginning.", example = "2026-12-01T00:00:00Z"),
    ),
    responses((status = 200, description = "A page.", body = CustomerList)))]
pub(super) async fn list_customers(
    State(api): State<Api>,
    mut parameters: Parameters,
    fresh: Fresh,
) -> Result<Json<CustomerList>, Problem> {
    let filter = filter(&api, &mut parameters);
    let paging = parameters.finish_list(filter.order())?;
    let found = customers::list(&api.read_models, &filter, &paging.page).await?;
    fresh.confirm(&api)?;
    let next_cursor = paging.cursor(found.next.as_ref());
    Ok(Json(CustomerList { items: found.items.into_iter().map(ListedCustomer::from).collect(), next_cursor }))
}

/// See a customer
#[utoipa::path(get, path = "/v1/customers/{customer_id}", tag = "customers",
    params(
        ("customer_id" = i64, Path, description = "The customer.", example = 10015),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the client has: where the \
            customer is still at that revision, it is not sent again.", example = json!("\"1\"")),
    ),
    responses(
        (status = 200, description = "The customer.", body = Customer,
         headers(("ETag" = String, description = "Its revision, for `If-Match` and `If-None-Match`."))),
        (status = 304, description = "The customer is still at the revision that the client has.",
         headers(("ETag" = String, description = "Its revision."))),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn show_customer(
    State(api): State<Api>,
    customer_id: PathText,
    parameters: Parameters,
    none_match: IfNoneMatch,
    fresh: Fresh,
) -> Result<Response, Problem> {
    let customer_id: CustomerId = path_id("customer_id", &customer_id)?;
    parameters.finish()?;
    let found = customers::find(&api.read_models, customer_id).await?;
    fresh.confirm(&api)?;
    let found = found.ok_or_else(|| Problem::not_found("customer_id", customer_id))?;
    Ok(none_match.answer(found.revision.unsigned_abs(), || Json(Customer::from(found)).into_response()))
}
