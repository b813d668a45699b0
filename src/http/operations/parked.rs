//! `GET /v1/projections/{name}/parked` and `POST /v1/projections/{name}/redrive`.

use ::projections::{Target, parked as parked_customers};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{OneCustomer, ProjectionName, one_customer, projection};
use crate::http::Api;
use crate::http::body::JsonBody;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::PathText;

/// A page of customers whose events are withheld.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "customer_id": 10015, "position": 1042, "event_type": "LoanOpened", "error": "missing field `tenure`", "attempts": 3,
    "parked_at": "2026-03-31T09:30:00+00:00", "tried_at": "2026-03-31T09:45:00+00:00",
}], "next_cursor": null})))]
pub(super) struct ParkedList {
    items: Vec<Parked>,
    /// Continues the list; null on its last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A customer whose events are withheld, from one that could not be applied.
#[derive(Serialize, ToSchema)]
struct Parked {
    customer_id: i64,
    /// The event's place in the log.
    position: i64,
    event_type: String,
    /// Why it could not be applied.
    error: String,
    /// How often it was tried.
    attempts: i32,
    #[schema(format = DateTime)]
    parked_at: String,
    #[schema(format = DateTime)]
    tried_at: String,
}

impl From<parked_customers::Parked> for Parked {
    fn from(parked: parked_customers::Parked) -> Self {
        Self {
            customer_id: parked.customer_id,
            position: parked.position,
            event_type: parked.event_type,
            error: parked.error,
            attempts: parked.attempts,
            parked_at: parked.parked_at.to_rfc3339(),
            tried_at: parked.tried_at.to_rfc3339(),
        }
    }
}

/// What came of trying again.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"redriven": [10015], "parked": [], "more": false})))]
pub(super) struct Redriven {
    /// Customers that go on.
    redriven: Vec<i64>,
    /// Customers that are parked still.
    parked: Vec<Parked>,
    /// Whether there are more, which were not tried: ask again.
    more: bool,
}

/// List the customers whose events are withheld
#[utoipa::path(get, path = "/v1/projections/{name}/parked", tag = "projections", operation_id = "list_parked",
    params(
        ("name" = inline(ProjectionName), Path, description = "The read model.", example = "loans"),
    ),
    responses(
        (status = 200, description = "A page of them.", body = ParkedList),
        (status = 404, description = "There is no such read model.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn parked(
    State(api): State<Api>,
    name: PathText,
    mut parameters: Parameters,
) -> Result<Json<ParkedList>, Problem> {
    let target = Target::Live(projection(&name)?);
    let page = parameters.page()?;
    parameters.finish()?;
    let mut found = parked_customers::list(&api.read_models, target, page.after, i64::MAX, page.limit + 1).await?;
    let fitting = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let there_are_more = found.len() > fitting;
    found.truncate(fitting);
    let next_cursor = found.last().filter(|_| there_are_more).map(|last| page.cursor(last.customer_id));
    Ok(Json(ParkedList { items: found.into_iter().map(Parked::from).collect(), next_cursor }))
}

/// Apply withheld events again
///
/// Without a body, or with `{}`, those of up to a hundred customers.
#[utoipa::path(post, path = "/v1/projections/{name}/redrive", tag = "projections",
    params(("name" = inline(ProjectionName), Path, description = "The read model.", example = "loans")),
    request_body = Option<OneCustomer<'static>>,
    responses(
        (status = 200, description = "Who goes on, and who is parked still.", body = Redriven),
        (status = 404, description = "There is no such read model, or no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "This version of the service is outdated.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn redrive(
    State(api): State<Api>,
    name: PathText,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Json<Redriven>, Problem> {
    parameters.finish()?;
    let projection = projection(&name)?;
    let outcome = api.replay.redrive(projection, one_customer(&body)?).await;
    // Also where it ended early: who was redriven until then goes on.
    api.replaced(projection);
    let outcome = outcome?;
    Ok(Json(Redriven {
        redriven: outcome.redriven,
        parked: outcome.parked.into_iter().map(Parked::from).collect(),
        more: outcome.more,
    }))
}
