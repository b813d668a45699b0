//! What surrounds every request: its id, its line in the log, and problems written as documents.

use std::time::Instant;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::commands::Origin;
use crate::http::problem::{Problem, of_status};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What an answer says beside its problem.
const KEPT: [HeaderName; 5] = [header::RETRY_AFTER, header::ALLOW, header::ETAG, RATE_LIMIT_POLICY, RATE_LIMIT];
const MAX_HEADER_CHARS: usize = 128;

pub(in crate::http) async fn envelope(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = visible(&request, &X_REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string());
    let origin = Origin { request_id: Some(request_id.clone()), traceparent: visible(&request, &TRACEPARENT) };
    request.extensions_mut().insert(origin);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();

    let mut response = written(next.run(request).await, &request_id);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    tracing::info!(%method, path, status, elapsed = ?started.elapsed(), request_id, "request");
    response
}

/// A header of the client's, if it is short and visible.
fn visible(request: &Request, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    let fits = (1..=MAX_HEADER_CHARS).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| value.to_owned())
}

/// An error response with its problem written as a document.
fn written(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| of_status(status));
    let mut document = (status, Json(problem.document(request_id))).into_response();
    document.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
    for name in KEPT {
        if let Some(value) = response.headers_mut().remove(&name) {
            document.headers_mut().insert(name, value);
        }
    }
    document
}
