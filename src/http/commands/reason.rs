//! The body of what is done for a reason: reversing a repayment, writing a loan off.

use aggregates::text::ReasonText;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::body::{Field, Fields, text};
use crate::http::problem::Problem;

/// Why it is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReasonGiven, examples(json!({"reason": "posted to the wrong loan"})))]
pub(super) struct Request<'a> {
    /// In plain words, visible characters and spaces; kept with the event.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    reason: Field<'a>,
}

pub(super) fn parse(request: &Request<'_>) -> Result<ReasonText, Problem> {
    let mut fields = Fields::default();
    fields.required("reason", request.reason, text).ok_or_else(|| fields.into_problem())
}
