//! Endpoints for auditors and downstream systems: what the log itself holds. They wait for no read model: what was
//! answered is in the log.

mod events;
mod history;
mod told;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::only;
use super::openapi::paged;
use crate::access::Role::{Auditor, Officer};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(only(&[Officer, Auditor], paged(routes!(history::customer_history))))
        .routes(only(&[Officer, Auditor], paged(routes!(history::loan_history))))
        .routes(only(&[Auditor], routes!(events::list_events)))
}
