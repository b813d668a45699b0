//! `GET /v1/projections/{name}/parked` and `POST /v1/projections/{name}/redrive`.

use ::projections::{Target, parked as parked_customers};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{one_customer, projection};
use crate::http::Api;
use crate::http::body::JsonBody;
use crate::http::parameters::{Page, Parameters, cursor};
use crate::http::problem::Problem;
use crate::http::queries::PathText;

#[derive(Serialize)]
pub(in crate::http) struct ParkedList {
    items: Vec<Parked>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Parked {
    customer_id: i64,
    position: i64,
    event_type: String,
    error: String,
    attempts: i32,
    parked_at: String,
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

#[derive(Serialize)]
pub(in crate::http) struct Redriven {
    /// Customers that go on.
    redriven: Vec<i64>,
    /// Customers that are parked still.
    parked: Vec<Parked>,
    /// Whether there are more, which were not tried: ask again.
    more: bool,
}

pub(in crate::http) async fn parked(
    State(api): State<Api>,
    name: PathText,
    mut parameters: Parameters,
) -> Result<Json<ParkedList>, Problem> {
    let target = Target::Live(projection(&name)?);
    let Page { after, limit } = parameters.page()?;
    parameters.finish()?;
    let found = parked_customers::list(&api.read_models, target, after, i64::MAX, limit).await?;
    let is_full = i64::try_from(found.len()) == Ok(limit);
    let next_cursor = found.last().filter(|_| is_full).map(|last| cursor(last.customer_id));
    Ok(Json(ParkedList { items: found.into_iter().map(Parked::from).collect(), next_cursor }))
}

pub(in crate::http) async fn redrive(
    State(api): State<Api>,
    name: PathText,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Json<Redriven>, Problem> {
    parameters.finish()?;
    let outcome = api.replay.redrive(projection(&name)?, one_customer(&body)?).await?;
    Ok(Json(Redriven {
        redriven: outcome.redriven,
        parked: outcome.parked.into_iter().map(Parked::from).collect(),
        more: outcome.more,
    }))
}
