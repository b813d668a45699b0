//! Small bodies are received before anything is done for their requests, so that a client who sends one slowly holds
//! nothing but its connection: no turn of those that the service has few of.
//!
//! What is larger, and what comes as a form, goes on to its handler as it comes. Every body must keep pace ([`Paced`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};

use crate::http::MAX_BODY_BYTES;
use crate::http::body::declared_bytes;
use crate::http::pace::{Paced, is_too_slow};
use crate::http::problem::Problem;

/// Of all bodies that are being received, at most; those beyond go on as they come.
const MAX_HELD_BYTES: usize = 64 << 20;

/// What is known of the bodies on their way in.
#[derive(Clone)]
pub(in crate::http) struct Bodies {
    patience: Duration,
    held: Arc<AtomicUsize>,
}

impl Bodies {
    pub(in crate::http) fn new(patience: Duration) -> Self {
        Self { patience, held: Arc::default() }
    }
}

/// Bytes of one body that are held.
struct Held {
    bytes: usize,
    of_all: Arc<AtomicUsize>,
}

impl Held {
    /// Whether there is room for so many more.
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.of_all.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_HELD_BYTES
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(in crate::http) async fn receive(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let paced = Paced::new(body, bodies.patience);
    if !is_small(&parts.headers) {
        return next.run(Request::from_parts(parts, Body::from_stream(paced))).await;
    }
    match received(paced, bodies.held).await {
        Ok(body) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether it says nothing else; a form is received piece by piece.
fn is_small(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = media_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
    !is_form && declared_bytes(headers).is_none_or(|bytes| bytes <= MAX_BODY_BYTES as u64)
}

/// The body, received; or what has come of it and the rest, where it is larger than it may be or there is no room.
async fn received(mut paced: Paced, of_all: Arc<AtomicUsize>) -> Result<Body, Problem> {
    let mut held = Held { bytes: 0, of_all };
    let mut bytes = BytesMut::new();
    while let Some(piece) = paced.next().await {
        let piece = piece.map_err(|error| match is_too_slow(&*error) {
            true => Problem::too_slow(),
            false => Problem::unreadable_body(StatusCode::BAD_REQUEST, "broke off".to_owned()),
        })?;
        bytes.extend_from_slice(&piece);
        if !held.take(piece.len()) || bytes.len() > MAX_BODY_BYTES {
            let begun = stream::once(async { Ok(Bytes::from(bytes)) });
            return Ok(Body::from_stream(begun.chain(paced)));
        }
    }
    Ok(Body::from(bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn paced(pieces: usize, bytes: usize) -> Paced {
        let pieces = vec![Bytes::from(vec![7; bytes]); pieces];
        let body = Body::from_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>));
        Paced::new(body, Duration::from_secs(1))
    }

    #[tokio::test]
    async fn a_body_is_the_same_whether_it_was_held_or_not() {
        let held = Arc::<AtomicUsize>::default();
        for (pieces, bytes) in [(0, 0), (3, 100), (1, MAX_BODY_BYTES), (3, MAX_BODY_BYTES)] {
            let body = received(paced(pieces, bytes), Arc::clone(&held)).await.expect("a body");
            let whole = to_bytes(body, usize::MAX).await.expect("bytes");
            assert_eq!(whole.len(), pieces * bytes);
            assert_eq!(held.load(Ordering::Relaxed), 0, "what was held is given back");
        }
    }

    #[tokio::test]
    async fn where_there_is_no_room_the_body_goes_on_as_it_comes() {
        let held = Arc::new(AtomicUsize::new(MAX_HELD_BYTES));
        let body = received(paced(3, 100), Arc::clone(&held)).await.expect("a body");
        assert!(body.size_hint().exact().is_none(), "it is not held");
        assert_eq!(to_bytes(body, usize::MAX).await.expect("bytes").len(), 300);
        assert_eq!(held.load(Ordering::Relaxed), MAX_HELD_BYTES);
    }

    #[test]
    fn forms_and_what_is_large_are_not_held() {
        let cases: [(&str, &str, bool); 5] = [
            ("application/json", "10", true),
            ("application/json", "", true),
            ("", "65536", true),
            ("application/json", "65537", false),
            ("Multipart/Form-Data; boundary=x", "10", false),
        ];
        for (content_type, length, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().expect("a header"));
            headers.insert(header::CONTENT_LENGTH, length.parse().expect("a header"));
            assert_eq!(is_small(&headers), expected, "{content_type} {length}");
        }
    }
}
