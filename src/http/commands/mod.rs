//! Endpoints that write.

mod create_loan;
mod register;
mod repay;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::openapi::command;

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(command(routes!(register::register)))
        .routes(command(routes!(create_loan::create_loan)))
        .routes(command(routes!(repay::repay)))
}
