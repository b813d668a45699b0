//! `GET /v1/projections`, and `POST` and `DELETE /v1/projections/{name}/rebuild`.

use ::projections::rebuilds;
use ::projections::replace::Replaced;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{one_customer, projection};
use crate::http::Api;
use crate::http::body::JsonBody;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::queries::PathText;
use crate::status::{RebuildStatus, Status, status};

/// One customer's rows were made anew.
#[derive(Serialize)]
struct CustomerRebuilt {
    customer_id: i64,
    rebuilt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(in crate::http) async fn list(State(api): State<Api>, parameters: Parameters) -> Result<Json<Status>, Problem> {
    parameters.finish()?;
    Ok(Json(status(&api.replay.log, &api.read_models).await?))
}

pub(in crate::http) async fn rebuild(
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
    Ok(Json(CustomerRebuilt { customer_id: customer.get(), rebuilt: error.is_none(), error }).into_response())
}

pub(in crate::http) async fn cancel(
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
