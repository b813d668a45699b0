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
use super::access::{only, original};
use super::openapi::{change, change_of_seen, command, revised};
use crate::access::Role::{Channel, Officer, Operator};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(original(&[Channel], revised(command(routes!(register::register)))))
        .routes(original(&[Channel], command(routes!(create_loan::create_loan))))
        .routes(only(&[Channel, Officer], change_of_seen(routes!(change_details::change_details))))
        .routes(only(&[Channel], change(routes!(repay::repay))))
        .routes(only(&[Channel], change(routes!(settle_early::settle_early))))
        .routes(only(&[Officer, Operator], change(routes!(reverse_repayment::reverse_repayment))))
        .routes(only(&[Officer, Operator], change(routes!(write_off::write_off))))
}
