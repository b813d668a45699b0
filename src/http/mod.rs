//! HTTP: parses requests into the domain's types, calls one thing, renders the answer.
//!
//! `commands` write and `queries` read; `decisions` explain and ask what would have been; `operations` are for operators,
//! `audit` for auditors; `middleware` is what surrounds them all. None decides anything nor holds SQL. Every error leaves as a problem document ([`problem`]).

pub(crate) mod application;
mod audit;
mod body;
mod commands;
mod consistency;
mod decisions;
mod health;
mod idempotency;
mod if_none_match;
mod imports;
mod middleware;
pub mod number;
mod openapi;
mod operations;
mod parameters;
mod precondition;
pub mod problem;
mod queries;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use sqlx::PgPool;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::backtest::Backtests;
use crate::commands::{BusinessCalendar, Commands};
use crate::import::jobs::Imports;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::progress::Progress;
use crate::replay::Replay;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Executes commands.
    pub commands: Arc<Commands>,
    /// The log's connections, for auditors and the health check.
    pub log: PgPool,
    /// Replays read models.
    pub replay: Replay,
    /// The read models' connections.
    pub read_models: PgPool,
    /// Imports in the background.
    pub imports: Imports,
    /// How many requests each caller may send.
    pub limits: Arc<Limits>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// How far the read models have come.
    pub progress: Arc<Progress>,
    /// The policies, and the one that is in force.
    pub policies: Arc<Policies>,
    /// Backtests of this process: one at a time.
    pub backtests: Arc<Backtests>,
    /// The business day.
    pub calendar: BusinessCalendar,
    /// How long a request waits for a read model.
    pub visibility_timeout: Duration,
}

/// Every route, each with its description: what is not described is not served.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(commands::routes())
        .merge(queries::routes())
        .merge(imports::routes())
        .merge(audit::routes())
        .merge(operations::routes())
        .merge(decisions::routes())
        .merge(health::routes())
        .merge(openapi::routes())
}

/// The API's description (OpenAPI 3.1), as JSON with a line's end.
#[must_use]
pub fn description() -> String {
    let document = openapi::complete(routes().into_openapi());
    // It holds strings, numbers and maps with string keys: nothing that JSON could not.
    document.to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

/// Every route, with what surrounds them all.
pub fn router(api: Api) -> NormalizePath<Router> {
    let routes = Router::from(routes())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&api.limits), middleware::rate_limit))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(middleware::envelope))
        .with_state(api);
    NormalizePathLayer::trim_trailing_slash().layer(routes)
}
