//! How long a request's address, and how large its headers, may be.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::problem::Problem;

pub(in crate::http) const MAX_URL_BYTES: usize = 8 << 10;
pub(in crate::http) const MAX_HEADERS: usize = 64;
pub(in crate::http) const MAX_HEADER_BYTES: usize = 16 << 10;

pub(in crate::http) async fn limit_head(request: Request, next: Next) -> Response {
    match too_much(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn too_much(request: &Request) -> Option<Problem> {
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url > MAX_URL_BYTES {
        return Some(Problem::url_too_long(MAX_URL_BYTES));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let fits = headers.len() <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES;
    (!fits).then(|| Problem::headers_too_large(MAX_HEADERS, MAX_HEADER_BYTES))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn status(url: usize, headers: usize, bytes_each: usize) -> Option<u16> {
        let mut request = Request::builder().uri(format!("/{}", "a".repeat(url - 1)));
        for number in 0..headers {
            request = request.header(format!("x-{number:02}"), "v".repeat(bytes_each - "x-00".len()));
        }
        too_much(&request.body(Body::empty()).expect("a request")).map(|problem| problem.status.as_u16())
    }

    #[test]
    fn what_is_a_byte_or_a_header_too_much_is_refused() {
        assert_eq!(status(MAX_URL_BYTES, MAX_HEADERS, 256), None);
        assert_eq!(status(MAX_URL_BYTES + 1, 1, 10), Some(414));
        assert_eq!(status(1, MAX_HEADERS + 1, 10), Some(431));
        assert_eq!(status(1, 1, MAX_HEADER_BYTES), None);
        assert_eq!(status(1, 1, MAX_HEADER_BYTES + 1), Some(431));
    }
}
