//! The document of a problem, as it is sent and as it is described.

use serde::Serialize;
use utoipa::ToSchema;

use super::{FieldError, Problem};

/// The document in the API's description.
pub(in crate::http) type ProblemDocument = Document<'static>;

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, examples(json!({
    "type": "urn:credit-approval:problem:invalid-request",
    "title": "The request is not valid",
    "status": 400,
    "detail": "age must be from 18 to 120.",
    "errors": [{"field": "age", "message": "must be from 18 to 120"}],
    "request_id": "0193a1c2-7b5e-7c3a-9a51-3f0d6c1e2b4f",
})))]
pub(in crate::http) struct Document<'a> {
    /// What kind of problem; stable, for programs.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    kind: String,
    /// The kind in words; the same for every occurrence.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// This occurrence in words.
    detail: &'a str,
    /// The fields, parameters and headers that are wrong; absent where none is to blame.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// The request's id, under which the service has logged it.
    request_id: &'a str,
}

impl Problem {
    /// The document, for a request.
    pub(in crate::http) fn document<'a>(&'a self, request_id: &'a str) -> Document<'a> {
        Document {
            kind: format!("urn:credit-approval:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
            request_id,
        }
    }
}
