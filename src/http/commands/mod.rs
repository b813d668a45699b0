//! Endpoints that write.

mod change;
mod change_details;
mod create_loan;
mod reason;
mod register;
mod repay;
mod reverse_repayment;
mod settle_early;
mod write_off;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::openapi::{change, change_of_seen, command, revised};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(revised(command(routes!(register::register))))
        .routes(command(routes!(create_loan::create_loan)))
        .routes(change_of_seen(routes!(change_details::change_details)))
        .routes(change(routes!(repay::repay)))
        .routes(change(routes!(settle_early::settle_early)))
        .routes(change(routes!(reverse_repayment::reverse_repayment)))
        .routes(change(routes!(write_off::write_off)))
}
