//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::PgPool;

use super::Api;
use super::problem::Problem;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Health>, Problem> {
    answers(&api.log).await?;
    answers(&api.read_models).await?;
    Ok(Json(Health { status: "ready" }))
}

async fn answers(pool: &PgPool) -> Result<(), Problem> {
    match tokio::time::timeout(ANSWER_WITHIN, sqlx::query("select 1").execute(pool)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable()),
    }
}
