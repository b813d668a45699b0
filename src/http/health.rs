//! Whether the process lives, has started, and can serve.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::public;
use super::openapi::operation;
use super::problem::Problem;
use crate::health::Health;

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(public(routes!(live)))
        .routes(public(operation(routes!(ready))))
        .routes(public(operation(routes!(startup))))
}

impl FromRef<Api> for Arc<Health> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.health)
    }
}

/// How the process is.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct How {
    /// `live`, `ready` or `started`, as was asked.
    status: &'static str,
}

/// That the process can serve.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`.
    status: &'static str,
    /// What was looked at, and holds: the databases `log` and `read_models`, with all that this version needs in them,
    /// and the read models' `lag`.
    checks: Vec<&'static str>,
}

/// Whether the process lives
///
/// A process that does not answer this is to be started again. It asks no database: starting again mends none.
#[utoipa::path(get, path = "/health/live", tag = "service", operation_id = "live", responses(
    (status = 200, description = "It does.", body = How, example = json!({"status": "live"})),
))]
pub(super) async fn live() -> Json<How> {
    Json(How { status: "live" })
}

/// Whether requests should be sent to the process
///
/// Where they should not, the problem's `errors` name the checks that say so: `start` and `stop`, the databases `log` and
/// `read_models`, the read models' `lag`.
#[utoipa::path(get, path = "/health/ready", tag = "service", operation_id = "ready", responses(
    (status = 200, description = "They should.", body = Ready,
     example = json!({"status": "ready", "checks": ["log", "read_models", "lag"]})),
))]
pub(super) async fn ready(State(health): State<Arc<Health>>) -> Result<Json<Ready>, Problem> {
    let checks = health.is_ready().await.map_err(Problem::not_ready)?;
    Ok(Json(Ready { status: "ready", checks }))
}

/// Whether the process has started
///
/// It has once its schemas are up to date, its work has begun, and its read models have caught up with the log, or half a
/// minute has passed. A process that still starts is to be left alone.
#[utoipa::path(get, path = "/health/startup", tag = "service", operation_id = "startup", responses(
    (status = 200, description = "It has.", body = How, example = json!({"status": "started"})),
))]
pub(super) async fn startup(State(health): State<Arc<Health>>) -> Result<Json<How>, Problem> {
    health.has_started().map_err(|failure| Problem::not_ready(vec![failure]))?;
    Ok(Json(How { status: "started" }))
}
