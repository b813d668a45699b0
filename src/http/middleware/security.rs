//! What tells browsers, and whoever keeps copies on the way, to make nothing of an answer but what it is for.
//!
//! An answer that says something else for itself is left alone: the page of the description allows its own scripts, and
//! its files may be kept.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// On every answer that does not say otherwise. Amounts, names and phone numbers are to be kept nowhere on the way.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];
/// A year. Other services under the same domain are not ours to speak for.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whether browsers are told to come over HTTPS alone: they may be once they can.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct OverTls(pub(in crate::http) bool);

pub(in crate::http) async fn secure(
    State(OverTls(over_tls)): State<OverTls>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if over_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    response
}
