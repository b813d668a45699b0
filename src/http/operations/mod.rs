//! Endpoints for operators and auditors: how the read models stand, rebuilding and redriving them, metrics, and what the
//! log itself tells of a past day. Unlike queries they may look at the log; like them they decide nothing.

pub(super) mod credit_score;
mod metrics;
mod parked;
mod projections;

use ::projections::Projection;
use aggregates::ids::CustomerId;
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::only;
use super::body::{Field, Fields, JsonBody, given, integer};
use super::openapi::{paged, query};
use super::problem::Problem;
use super::queries::PathText;
use crate::access::Role::{Auditor, Channel, Officer, Operator};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(only(&[Channel, Officer, Auditor], query(routes!(credit_score::credit_score))))
        .routes(only(&[Operator, Auditor], routes!(projections::list)))
        .routes(only(&[Operator], routes!(projections::rebuild, projections::cancel)))
        .routes(only(&[Operator, Auditor], paged(routes!(parked::parked))))
        .routes(only(&[Operator], routes!(parked::redrive)))
        .routes(only(&[Operator, Auditor], routes!(metrics::metrics)))
}

/// The read models' names, for the description.
enum ProjectionName {}

impl PartialSchema for ProjectionName {
    fn schema() -> RefOr<Schema> {
        let names = Projection::ALL.map(Projection::name);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for ProjectionName {}

/// A projection in a path.
fn projection(PathText(name): &PathText) -> Result<Projection, Problem> {
    Projection::from_name(name).ok_or_else(|| Problem::not_found("projection", name))
}

/// One customer, or all of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"customer_id": 10015}), json!({})))]
struct OneCustomer<'a> {
    /// All customers unless told.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = i64, minimum = 1, maximum = 9_007_199_254_740_991_u64, required = false)]
    customer_id: Field<'a>,
}

/// The body `{}`, or none, for all customers; `{"customer_id": 7}` for one.
fn one_customer(body: &JsonBody) -> Result<Option<CustomerId>, Problem> {
    let OneCustomer { customer_id } = body.fields_or_none()?;
    let mut fields = Fields::default();
    let parsed = fields.optional("customer_id", customer_id, None, |value| integer::<i64, CustomerId>(value).map(Some));
    parsed.ok_or_else(|| fields.into_problem())
}
