//! HTTP: parses requests into the domain's types, calls one thing, renders the answer.
//!
//! `commands` write and `queries` read; `operations` are for operators. None decides anything nor holds SQL. Every error leaves as a problem
//! document ([`problem`]).

mod application;
mod body;
mod commands;
mod consistency;
mod envelope;
mod health;
mod idempotency;
mod number;
mod operations;
mod parameters;
pub mod problem;
mod queries;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post};
use sqlx::PgPool;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};

use aggregates::policy::Policy;

use crate::commands::{BusinessCalendar, Commands};
use crate::progress::Progress;
use crate::replay::Replay;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Executes commands.
    pub commands: Arc<Commands>,
    /// The log's connections, for the health check alone.
    pub log: PgPool,
    /// Replays read models.
    pub replay: Replay,
    /// The read models' connections.
    pub read_models: PgPool,
    /// How far the read models have come.
    pub progress: Arc<Progress>,
    /// The policy that eligibility is answered under.
    pub policy: Arc<Policy>,
    /// The business day.
    pub calendar: BusinessCalendar,
    /// How long a request waits for a read model.
    pub visibility_timeout: Duration,
}

/// Every route, with what surrounds them all.
pub fn router(api: Api) -> NormalizePath<Router> {
    let routes = Router::new()
        .route("/register", post(commands::register))
        .route("/check-eligibility", post(queries::check_eligibility))
        .route("/create-loan", post(commands::create_loan))
        .route("/view-loan/{loan_id}", get(queries::view_loan))
        .route("/view-loans/{customer_id}", get(queries::view_loans))
        .route("/v1/loans/{loan_id}/repayments", post(commands::repay))
        .route("/v1/customers/{customer_id}/credit-score", get(operations::credit_score))
        .route("/v1/projections", get(operations::list))
        .route("/v1/projections/{name}/rebuild", post(operations::rebuild))
        .route("/v1/projections/{name}/rebuild", delete(operations::cancel))
        .route("/v1/projections/{name}/parked", get(operations::parked))
        .route("/v1/projections/{name}/redrive", post(operations::redrive))
        .route("/metrics", get(operations::metrics))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(envelope::envelope))
        .with_state(api);
    NormalizePathLayer::trim_trailing_slash().layer(routes)
}
