//! HTTP: parses requests into the domain's types, calls one thing, renders the answer.
//!
//! `commands` write and `queries` read; `decisions` explain and ask what would have been; `operations` are for operators,
//! `audit` for auditors; `access` says who may, and `middleware` is what surrounds them all. None decides anything nor
//! holds SQL. Every error leaves as a problem document ([`problem`]).

mod access;
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
mod pace;
mod parameters;
mod precondition;
pub mod probes;
pub mod problem;
mod profile;
mod queries;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::{Layer, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::access::authenticator::Authenticator;
use crate::backtest::Backtests;
use crate::cache::ProfileCache;
use crate::commands::{BusinessCalendar, Commands};
use crate::config::Edge;
use crate::databases::connections::Connections;
use crate::gate::Gates;
use crate::health::Health;
use crate::import::jobs::Imports;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::progress::Progress;
use crate::relay::lag::RelayWatch;
use crate::replay::Replay;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the handlers work with. Each request has it several times over, so a clone is the same one.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What an [`Api`] is made of.
pub struct Parts {
    /// Executes commands.
    pub commands: Arc<Commands>,
    /// The log's connections, for auditors, and for how the read models stand.
    pub log: Connections,
    /// Replays read models.
    pub replay: Replay,
    /// The read models' connections.
    pub read_models: Connections,
    /// Credit profiles that are kept in memory, where any are.
    pub profiles: Option<Arc<ProfileCache>>,
    /// Imports in the background.
    pub imports: Imports,
    /// How far the stream is behind the log, where there is a stream.
    pub relay: Option<Arc<RelayWatch>>,
    /// How much is taken on at once.
    pub gates: Arc<Gates>,
    /// How this process is.
    pub health: Arc<Health>,
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
    /// Tells who callers are.
    pub authenticator: Arc<Authenticator>,
    /// Whether anybody may use the five original endpoints.
    pub anonymous_originals: bool,
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
pub fn router(api: Api, edge: &Edge) -> NormalizePath<Router> {
    let (routes, description) = routes().split_for_parts();
    let guard = Arc::new(middleware::Guard {
        doors: access::Doors::of(&description),
        authenticator: Arc::clone(&api.authenticator),
        anonymous_originals: api.anonymous_originals,
    });
    let requests = Arc::new(api.metrics.register(middleware::Requests::register));
    let health = Arc::clone(&api.health);
    let over_tls = middleware::OverTls(edge.tls().is_some());
    let cross_origin =
        (!edge.cors_allowed_origins.is_empty()).then(|| middleware::cross_origin(&edge.cors_allowed_origins));
    // From the outside in. One layer for the router: it boxes each that it is given, once more for every request.
    let around = ServiceBuilder::new()
        .layer(from_fn_with_state(health, middleware::part))
        .layer(from_fn_with_state(requests, middleware::envelope))
        .layer(from_fn_with_state(over_tls, middleware::secure))
        .option_layer(cross_origin)
        .layer(middleware::compression())
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(middleware::limit_head))
        .layer(from_fn_with_state(middleware::Bodies::new(edge.body_timeout()), middleware::receive))
        .layer(from_fn_with_state(api.clone(), middleware::load))
        .layer(from_fn_with_state(Arc::clone(&guard), middleware::identify))
        .layer(from_fn_with_state(Arc::clone(&api.limits), middleware::rate_limit))
        .layer(from_fn_with_state(guard, middleware::authorise))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let routes = routes.fallback(problem::no_such_route).layer(around).with_state(api);
    NormalizePathLayer::trim_trailing_slash().layer(routes)
}
