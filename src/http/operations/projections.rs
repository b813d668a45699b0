//! `GET /v1/projections`, and `POST` and `DELETE /v1/projections/{name}/rebuild`.

use ::projections::rebuilds;
use ::projections::replace::Replaced;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{OneCustomer, ProjectionName, one_customer, projection};
use crate::http::Api;
use crate::http::body::JsonBody;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::PathText;
use crate::status::{RebuildStatus, Status, status};

/// One customer's rows were made anew.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"customer_id": 10015, "rebuilt": true})))]
struct CustomerRebuilt {
    customer_id: i64,
    rebuilt: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Show how the read models stand
#[utoipa::path(get, path = "/v1/projections", tag = "projections", operation_id = "list_projections",
    responses((status = 200, description = "The log and every read model.", body = Status)))]
pub(super) async fn list(State(api): State<Api>, parameters: Parameters) -> Result<Json<Status>, Problem> {
    parameters.finish()?;
    let asking = status(&api.log, &api.read_models);
    Ok(Json(api.log.while_there(api.read_models.while_there(asking)).await?))
}

/// Make a read model anew
///
/// Without a body, or with `{}`, all of it, in the background: the old table serves meanwhile. With a `customer_id`,
/// that customer's rows, at once.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild", tag = "projections",
    params(("name" = inline(ProjectionName), Path, description = "The read model.", example = "loans")),
    request_body = Option<OneCustomer<'static>>,
    responses(
        (status = 200, description = "What came of one customer.", body = CustomerRebuilt),
        (status = 202, description = "The rebuild is requested; `GET /v1/projections` shows it.", body = RebuildStatus),
        (status = 404, description = "There is no such read model, or no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "A rebuild is under way, or this version of the service is outdated.",
         body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(super) async fn rebuild(
    State(api): State<Api>,
    name: PathText,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let projection = projection(&name)?;
    let Some(customer) = one_customer(&body)? else {
        let requested = rebuilds::request(&api.read_models, &[projection]).await?;
        let requested = requested.ok_or_else(Problem::rebuild_under_way)?;
        return Ok((StatusCode::ACCEPTED, Json(RebuildStatus::from(requested))).into_response());
    };
    let error = match api.replay.rebuild_customer(projection, customer).await? {
        Replaced::Done => None,
        Replaced::Failed(failure) => Some(failure.error),
        Replaced::Refused(error) => Some(error),
    };
    api.replaced(projection);
    Ok(Json(CustomerRebuilt { customer_id: customer.get(), rebuilt: error.is_none(), error }).into_response())
}

/// Cancel a rebuild
#[utoipa::path(delete, path = "/v1/projections/{name}/rebuild", tag = "projections", operation_id = "cancel_rebuild",
    params(("name" = inline(ProjectionName), Path, description = "The read model.", example = "loans")),
    responses(
        (status = 202, description = "The rebuild will stop; the old table serves.", body = RebuildStatus),
        (status = 404, description = "There is no such read model, or no rebuild of it.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn cancel(
    State(api): State<Api>,
    name: PathText,
    parameters: Parameters,
) -> Result<(StatusCode, Json<RebuildStatus>), Problem> {
    parameters.finish()?;
    let projection = projection(&name)?;
    let cancelled = rebuilds::cancel(&api.read_models, projection).await?;
    let cancelled = cancelled.ok_or_else(|| Problem::no_rebuild(projection))?;
    Ok((StatusCode::ACCEPTED, Json(cancelled.into())))
}
