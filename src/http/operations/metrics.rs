//! `GET /metrics`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::http::Api;
use crate::http::problem::Problem;
use crate::metrics::{CONTENT_TYPE, Standing};
use crate::status::status;

/// Well within the ten seconds that Prometheus waits by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Metrics
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "For Prometheus, as OpenMetrics text.", body = String,
     content_type = "application/openmetrics-text", example = json!("credit_approval_log_head_position 1042\n# EOF\n")),
))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let standing = standing(&api).await;
    if let Err(error) = &standing {
        tracing::debug!(%error, "metrics are told without how things stand in the databases");
    }
    let text = api.metrics.render(standing.ok().as_ref()).map_err(|_| Problem::unavailable())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}

/// How things stand in the databases, unless they are away or take too long: what this process has counted is told all
/// the same, then most of all.
async fn standing(api: &Api) -> Result<Standing, sqlx::Error> {
    let asking = async {
        let status = status(&api.log, &api.read_models).await?;
        let imports = api.imports.by_state().await?;
        let relay = match &api.relay {
            Some(relay) => relay.lag().await?,
            None => None,
        };
        Ok::<_, sqlx::Error>(Standing { status, imports, relay })
    };
    let asking = api.log.while_there(api.read_models.while_there(asking));
    tokio::time::timeout(ANSWER_WITHIN, asking).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
