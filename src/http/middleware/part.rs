//! Parting from clients before the process stops: each answer asks for its connection to be closed, so that a client that
//! keeps connections opens its next one to a process that stays, rather than to meet the end of this one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::health::Health;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// HTTP/2 has no such header, and says it by itself when the server stops.
pub(in crate::http) async fn part(State(health): State<Arc<Health>>, request: Request, next: Next) -> Response {
    let has_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if has_header && health.is_stopping() {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}
