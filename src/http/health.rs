//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::public;
use super::openapi::operation;
use super::problem::Problem;
use crate::databases::connections::Connections;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(public(routes!(live))).routes(public(operation(routes!(ready))))
}

/// How the process is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`, as was asked.
    status: &'static str,
}

/// Whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "service", operation_id = "live", responses(
    (status = 200, description = "It does.", body = Health, example = json!({"status": "live"})),
))]
async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether the process can serve
#[utoipa::path(get, path = "/health/ready", tag = "service", operation_id = "ready", responses(
    (status = 200, description = "Its databases answer.", body = Health, example = json!({"status": "ready"})),
))]
async fn ready(State(api): State<Api>) -> Result<Json<Health>, Problem> {
    answers(&api.log).await?;
    answers(&api.read_models).await?;
    Ok(Json(Health { status: "ready" }))
}

async fn answers(database: &Connections) -> Result<(), Problem> {
    match tokio::time::timeout(ANSWER_WITHIN, sqlx::query("select 1").execute(database)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable()),
    }
}
