//! The body of what is done for a reason: reversing a repayment, writing a loan off.

use aggregates::text::{MAX_REASON_CHARS, ReasonText};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use crate::http::body::{Field, Fields, text};
use crate::http::openapi::inputs::line;
use crate::http::problem::Problem;

/// Why it is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReasonGiven, examples(json!({"reason": "posted to the wrong loan"})))]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    #[schema(schema_with = reason)]
    reason: Field<'a>,
}

fn reason() -> Object {
    line("In plain words, visible characters and spaces; kept with the event.", MAX_REASON_CHARS).build()
}

pub(super) fn parse(request: &Request<'_>) -> Result<ReasonText, Problem> {
    let mut fields = Fields::default();
    fields.required("reason", request.reason, text).ok_or_else(|| fields.into_problem())
}
