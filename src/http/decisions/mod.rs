//! Decisions that explain themselves: why one fell as it did, what another one would be, which policies there are, and
//! what a policy would have made of the decisions that were taken. Nothing here has an effect.

mod backtest;
mod explained;
mod list;
mod policies;
mod preview;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::openapi::{operation, paged, query};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(paged(query(routes!(list::list))))
        .routes(query(routes!(list::find)))
        .routes(query(routes!(preview::preview)))
        .routes(paged(routes!(policies::list)))
        .routes(routes!(policies::find))
        .routes(operation(routes!(backtest::backtest)))
}
