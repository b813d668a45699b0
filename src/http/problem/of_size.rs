//! Requests that are larger, or come more slowly, than they may, as problems.

use axum::http::StatusCode;

use super::{FieldError, Problem};

impl Problem {
    /// An address that is too long: 414.
    #[must_use]
    pub fn url_too_long(at_most: usize) -> Self {
        let message = format!("must be at most {at_most} bytes long");
        Self::too_much(StatusCode::URI_TOO_LONG, "url-too-long", "The URL is too long", "URL", message)
    }

    /// Headers that are too many or too large: 431.
    #[must_use]
    pub fn headers_too_large(at_most: usize, bytes: usize) -> Self {
        let message = format!("must be at most {at_most}, of {bytes} bytes together");
        let (kind, title) = ("headers-too-large", "The headers are too large");
        Self::too_much(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, kind, title, "headers", message)
    }

    /// A body that is waited for too long: 408.
    #[must_use]
    pub fn too_slow() -> Self {
        Self::unreadable_body(StatusCode::REQUEST_TIMEOUT, "came too slowly".to_owned())
    }

    fn too_much(status: StatusCode, kind: &'static str, title: &'static str, field: &str, message: String) -> Self {
        let detail = format!("The {field} {message}.");
        let errors = vec![FieldError { field: field.to_owned(), message }];
        Self { errors, ..Self::new(status, kind, title, detail) }
    }
}
