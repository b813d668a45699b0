//! `GET /metrics`.

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::http::Api;
use crate::http::problem::Problem;
use crate::metrics::CONTENT_TYPE;
use crate::status::status;

/// Metrics
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "For Prometheus, as OpenMetrics text.", body = String,
     content_type = "application/openmetrics-text", example = json!("credit_approval_log_head_position 1042\n# EOF\n")),
))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let status = status(&api.replay.log, &api.read_models).await?;
    let imports = api.imports.by_state().await?;
    let text = api.metrics.render(&status, &imports).map_err(|_| Problem::unavailable())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
