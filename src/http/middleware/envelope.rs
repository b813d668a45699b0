//! What surrounds every request: its id, its span, its line in the log, its metrics, and problems written as documents.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::requests::{NO_ROUTE, Requests, name};
use crate::commands::Origin;
use crate::http::problem::{Problem, of_status};
use crate::telemetry::statements::{DatabaseUse, counted};
use crate::telemetry::{milliseconds, traces};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const MAX_HEADER_CHARS: usize = 128;
/// As many as W3C asks everybody to pass on.
const MAX_TRACESTATE_CHARS: usize = 512;

pub(in crate::http) async fn envelope(
    State(requests): State<Arc<Requests>>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = visible(&request, &X_REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string());
    let answering = Answering::begin(requests, &request, &request_id);
    let traceparent = answering.trace(&request);
    let origin = Origin { request_id: Some(request_id.clone()), traceparent, ..Origin::default() };
    request.extensions_mut().insert(origin);

    let answer = counted(Arc::clone(&answering.used), next.run(request));
    let response = answer.instrument(answering.span.clone()).await;
    let mut response = answering.written(response, &request_id);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    answering.end(response.status());
    response
}

/// A request until it is answered, or until its client is gone.
struct Answering {
    requests: Arc<Requests>,
    method: &'static str,
    route: String,
    path: String,
    began: Instant,
    used: Arc<DatabaseUse>,
    span: Span,
    is_over: bool,
}

impl Answering {
    fn begin(requests: Arc<Requests>, request: &Request, request_id: &str) -> Self {
        let method = name(request.method());
        let matched = request.extensions().get::<MatchedPath>();
        let route = matched.map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
        let path = harmless(&route, request.uri().path());
        // Of the gravest level, so that whatever is logged within it, the log has its request with it.
        let span = tracing::error_span!(
            "request",
            request_id,
            method,
            route,
            trace_id = Empty,
            otel.name = traces::are_made().then(|| format!("{method} {route}")),
            otel.kind = traces::are_made().then_some("server"),
        );
        requests.began();
        let (began, used) = (Instant::now(), Arc::default());
        Self { requests, method, route, path, began, used, span, is_over: false }
    }

    /// The trace context to go on with: of this request's span, or the client's own where no traces are made here.
    fn trace(&self, request: &Request) -> Option<String> {
        let traceparent = visible(request, &TRACEPARENT);
        let tracestate = request.headers().get(TRACESTATE).and_then(|value| value.to_str().ok());
        let tracestate = tracestate.filter(|value| value.len() <= MAX_TRACESTATE_CHARS);
        let own = traces::begin(&self.span, traceparent.as_deref(), tracestate);
        traces::asked(&self.span, self.method, &self.route);
        if let Some(trace_id) = own.as_deref().and_then(traces::trace_id) {
            self.span.record("trace_id", trace_id);
        }
        own.or(traceparent)
    }

    /// An error response with its problem written as a document.
    fn written(&self, mut response: Response, request_id: &str) -> Response {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return response;
        }
        let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| of_status(status));
        self.requests.problem(problem.kind);
        let mut document = (status, Json(problem.document(request_id))).into_response();
        // What was said of the body that is replaced goes, and whatever else was said stays.
        let mut headers = std::mem::take(response.headers_mut());
        for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::TRANSFER_ENCODING] {
            headers.remove(name);
        }
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        *document.headers_mut() = headers;
        document
    }

    fn end(mut self, status: StatusCode) {
        self.is_over = true;
        let elapsed = self.began.elapsed();
        self.requests.answered((self.method, &self.route), status, elapsed, &self.used);
        traces::answered(&self.span, status.as_u16());
        let _within = self.span.enter();
        tracing::info!(
            status = status.as_u16(),
            elapsed_ms = milliseconds(elapsed),
            database_ms = milliseconds(self.used.time()),
            statements = self.used.statements(),
            path = self.path,
            "request"
        );
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_over {
            self.requests.abandoned((self.method, &self.route));
            let _within = self.span.enter();
            let elapsed = self.began.elapsed();
            tracing::info!(elapsed_ms = milliseconds(elapsed), path = self.path, "the client did not wait");
        }
    }
}

/// A path as the log may have it: the route, with those of its parameters that are ids. Anything else may be what
/// somebody took for one, such as a name.
fn harmless(route: &str, path: &str) -> String {
    let is_id = |text: &str| !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut given = path.split('/');
    let shown = route.split('/').map(|part| {
        let given = given.next().unwrap_or_default();
        if part.starts_with('{') && is_id(given) { given } else { part }
    });
    shown.collect::<Vec<_>>().join("/")
}

/// A header of the client's, if it is short and visible.
fn visible(request: &Request, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    let fits = (1..=MAX_HEADER_CHARS).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_ids_and_nothing_that_a_client_made_up() {
        let route = "/v1/loans/{loan_id}/repayments/{repayment_id}/reversal";
        assert_eq!(harmless(route, "/v1/loans/12/repayments/7/reversal"), "/v1/loans/12/repayments/7/reversal");
        assert_eq!(harmless("/view-loans/{customer_id}", "/view-loans/Asha%20Rao"), "/view-loans/{customer_id}");
        assert_eq!(harmless(NO_ROUTE, "/customers/Asha"), NO_ROUTE);
        assert_eq!(harmless("/register", "/register"), "/register");
    }
}
