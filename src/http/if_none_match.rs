//! Sending again only what has changed: `If-None-Match` (RFC 9110).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::precondition::tag;

/// The entity tags that a client has.
pub(super) struct IfNoneMatch(Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let values = parts.headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
        // Revisions are digits: a comma stands between tags. What is no tag here matches none.
        Ok(Self(values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect()))
    }
}

impl IfNoneMatch {
    /// Whether the client has that revision. Weak tags count: what is compared is not what will be changed.
    fn has(&self, current: &str) -> bool {
        self.0.iter().any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current)
    }

    /// The representation of a revision with its tag: 304 without it where the client has it already.
    pub(super) fn answer(&self, revision: u32, representation: impl FnOnce() -> Response) -> Response {
        let tag = tag(revision);
        if self.has(&tag) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
        }
        ([(header::ETAG, tag)], representation()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn has(value: &str) -> bool {
        let request = Request::builder().header("If-None-Match", value).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        IfNoneMatch::from_request_parts(&mut parts, &()).await.unwrap().has(&tag(17))
    }

    #[tokio::test]
    async fn what_the_client_has_is_told_from_what_it_has_not() {
        for value in ["\"17\"", "*", "W/\"17\"", "\"3\", \"17\"", "\"3\",W/\"17\" , \"5\""] {
            assert!(has(value).await, "{value}");
        }
        for value in ["", "17", "\"1\"", "\"017\"", "\"17", "w/\"17\"", "\"171\", \"7\"", "none"] {
            assert!(!has(value).await, "{value}");
        }
    }
}
