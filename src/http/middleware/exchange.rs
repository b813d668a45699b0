//! What clients and the service agree on about an answer: whose pages may read it, and how it is compressed.

use axum::http::{HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::CorsLayer;

/// A smaller answer fits in one packet as it is.
const COMPRESSED_FROM_BYTES: u16 = 1024;
/// What comes line by line is to be read as it comes, and not when a compressor has enough of it.
const LINES: &str = "application/x-ndjson";
/// So long a browser need not ask again whether it may.
const ALLOWED_FOR: Duration = Duration::from_secs(3600);
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
const SENT: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("consistency-token"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
];
const READ: [HeaderName; 9] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("consistency-token"),
    HeaderName::from_static("idempotency-replayed"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-request-id"),
];

/// Lets pages of these origins call the API. They send a key or a token of their own; cookies mean nothing here.
pub(in crate::http) fn cross_origin(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods(METHODS)
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(ALLOWED_FOR)
}

/// Compresses answers for those who ask for it. No answer holds a secret beside what its asker sent, so that their
/// lengths give nothing away.
pub(in crate::http) fn compression() -> CompressionLayer<impl Predicate> {
    let as_they_are = NotForContentType::IMAGES.and(NotForContentType::const_new(LINES));
    CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM_BYTES).and(as_they_are))
}
