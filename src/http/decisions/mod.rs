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
use super::access::only;
use super::openapi::{paged, query};
use crate::access::Role::{self, Auditor, Officer, Operator};

/// Who asks why.
const ASKERS: &[Role] = &[Officer, Auditor];

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(only(ASKERS, paged(query(routes!(list::list)))))
        .routes(only(ASKERS, query(routes!(list::find))))
        .routes(only(ASKERS, query(routes!(preview::preview))))
        .routes(only(&[Officer, Operator, Auditor], paged(routes!(policies::list))))
        .routes(only(&[Officer, Operator, Auditor], routes!(policies::find)))
        .routes(only(ASKERS, routes!(backtest::backtest)))
}
