//! Endpoints for auditors and downstream systems: what the log itself holds. They wait for no read model: what was
//! answered is in the log.

mod events;
mod history;
mod told;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::openapi::{operation, paged};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(paged(operation(routes!(history::customer_history))))
        .routes(paged(operation(routes!(history::loan_history))))
        .routes(operation(routes!(events::list_events)))
}
