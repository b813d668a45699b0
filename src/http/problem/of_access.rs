//! Requests that are let in nowhere, as problems.

use axum::http::StatusCode;

use super::{FieldError, Problem};
use crate::access::Roles;
use crate::access::authenticator::Rejection;

const FIELD: &str = "Authorization";

impl Problem {
    /// Nobody said who they are: 401.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::unauthorized("is missing; it takes `Bearer` with a key of this API or a token of its issuer")
    }

    /// What was shown is not good: 401.
    #[must_use]
    pub fn rejected(rejection: Rejection) -> Self {
        Self::unauthorized(&rejection.to_string())
    }

    fn unauthorized(message: &str) -> Self {
        let errors = vec![FieldError { field: FIELD.to_owned(), message: message.to_owned() }];
        let title = "Who sent this is not known";
        let detail = format!("{FIELD} {message}.");
        Self { errors, ..Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", title, detail) }
    }

    /// The caller has none of the roles that may: 403.
    #[must_use]
    pub fn forbidden(roles: Roles) -> Self {
        let detail = if roles.is_empty() {
            "Nobody may do this.".to_owned()
        } else {
            format!("This takes one of the roles: {roles}.")
        };
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The caller's roles do not allow this", detail)
    }
}
