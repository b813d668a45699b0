//! Imports in the background: uploading workbooks, watching what becomes of them, reading the rejects, stopping one.

mod accept;
mod create;
mod document;
mod form;
mod pieces;
mod read;
mod rejects;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::only;
use super::openapi::{keyed, paged};
use super::problem::Problem;
use super::queries::PathText;
use crate::access::Role::{Auditor, Operator};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(only(&[Operator], keyed(routes!(create::create))))
        .routes(only(&[Operator, Auditor], paged(routes!(read::list))))
        .routes(only(&[Operator, Auditor], routes!(read::find)))
        .routes(only(&[Operator], routes!(read::cancel)))
        .routes(only(&[Operator, Auditor], routes!(rejects::rejects)))
}

/// An import's id in a path. What is no integer is a bad request; an integer that can be no id names nothing.
fn import_id(PathText(text): &PathText) -> Result<i64, Problem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::invalid_field("import_id", "must be an integer"));
    }
    text.parse::<i64>().ok().filter(|id| *id > 0).ok_or_else(|| Problem::not_found("import_id", text))
}
