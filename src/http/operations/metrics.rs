//! `GET /metrics`.

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::http::Api;
use crate::http::problem::Problem;
use crate::metrics::{CONTENT_TYPE, render};
use crate::status::status;

pub(in crate::http) async fn metrics(
    State(api): State<Api>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let status = status(&api.replay.log, &api.read_models).await?;
    let text = render(&status).map_err(|_| Problem::unavailable())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
