//! Whether who sent a request may: the last question before its handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::identify::Guard;
use crate::access::Roles;
use crate::access::authenticator::{Identity, Rejection};
use crate::http::access::{Door, Way};
use crate::http::problem::{Problem, no_such_method};

const REALM: &str = "Bearer realm=\"credit-approval\"";

/// Lets a request in, or answers why not. A route that does not say who may lets nobody in.
pub(in crate::http) async fn authorise(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (roles, is_open_to_all) = match guard.doors.way(&request) {
        Way::Nowhere | Way::Door(Door::Open) => return next.run(request).await,
        Way::NoSuchMethod(allowed) => {
            let problem = no_such_method(request.method(), request.uri());
            return ([(header::ALLOW, allowed)], problem).into_response();
        }
        Way::Door(Door::Original(roles)) => (roles, guard.anonymous_originals),
        Way::Door(Door::Guarded(roles)) => (roles, false),
    };
    match request.extensions().get::<Identity>() {
        Some(Identity::Known(_, has)) if has.meets(roles) => next.run(request).await,
        Some(Identity::Known(..)) => forbidden(roles),
        Some(Identity::Anonymous) if is_open_to_all => next.run(request).await,
        Some(Identity::Anonymous) | None => challenge(REALM.to_owned(), Problem::unauthenticated()),
        Some(Identity::Rejected(rejection)) => rejected(*rejection),
        Some(Identity::Undecided) => Problem::unavailable().into_response(),
    }
}

fn forbidden(roles: Roles) -> Response {
    let scope = roles.names().join(" ");
    let challenged = format!("{REALM}, error=\"insufficient_scope\", scope=\"{scope}\"");
    challenge(challenged, Problem::forbidden(roles))
}

fn rejected(rejection: Rejection) -> Response {
    let error = match rejection {
        Rejection::Form => "invalid_request",
        Rejection::Key(_) | Rejection::Token(_) => "invalid_token",
    };
    challenge(format!("{REALM}, error=\"{error}\""), Problem::rejected(rejection))
}

fn challenge(challenge: String, problem: Problem) -> Response {
    ([(header::WWW_AUTHENTICATE, challenge)], problem).into_response()
}
