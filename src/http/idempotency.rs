//! Requests that write: taken with their idempotency key, answered with their place in the log.
//!
//! A handler extracts a [`Submission`], executes one command, and lets [`Api::respond`] send its answer.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::Api;
use super::body::JsonBody;
use super::consistency::{RespondAsync, token};
use super::precondition::etag;
use super::problem::Problem;
use crate::access::Caller;
use crate::commands::{Answered, IdempotencyKey, KeyedRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request that writes.
pub(super) struct Submission {
    /// What makes sure that it takes effect once; `None` where the client did not ask for that.
    pub(super) keyed: Option<KeyedRequest>,
    /// What it says.
    pub(super) body: JsonBody,
}

impl<S: Send + Sync> FromRequest<S> for Submission {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let caller = request.extensions().get::<Caller>().unwrap_or(&Caller::Anonymous);
        let started = key(caller, request.headers())?.map(|key| (key, digest_of_target(&request)));
        let body = JsonBody::from_request(request, state).await?;
        let keyed = started.map(|(key, digest)| {
            let digest = digest.chain_update(body.bytes()).finalize().into();
            KeyedRequest { key, digest }
        });
        Ok(Self { keyed, body })
    }
}

/// The key that the client sent, if it did: one of its caller's.
pub(super) fn key(caller: &Caller, headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid_field("Idempotency-Key", "must be sent once"));
    }
    // What is not ASCII is no key, as nothing is none.
    let key = IdempotencyKey::new(caller, value.to_str().unwrap_or(""));
    key.map(Some).map_err(|invalid| Problem::invalid_field("Idempotency-Key", invalid.to_string()))
}

/// The digest's beginning: method and path. No line ends within them, so that they and the body cannot run into each
/// other.
fn digest_of_target(request: &Request) -> Sha256 {
    let target = format!("{}\n{}\n", request.method(), request.uri().path());
    Sha256::new().chain_update(target)
}

impl Api {
    /// A command's answer, once its events are in every read model, unless the client would rather not wait. An
    /// answer that is sent again waits like the first, and has the first one's `ETag`: the revision that its body
    /// speaks of. Where that is no longer the present one, a change under it is refused, as it must be.
    pub(super) async fn respond(&self, answered: Answered, respond_async: Option<RespondAsync>) -> Response {
        let Answered { answer, place, replayed } = answered;
        self.make_visible(place, respond_async).await;
        // The handler took it from a status, so it is one.
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let etag = answer.revision.map(|revision| [etag(revision)]);
        let replayed = replayed.then_some([(IDEMPOTENCY_REPLAYED, "true")]);
        (status, [(header::CONTENT_TYPE, JSON)], [token(place)], etag, replayed, answer.body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, uri: &str, keys: &[&'static str]) -> Request {
        let mut request = axum::http::Request::builder().method(method).uri(uri);
        for key in keys {
            request = request.header(IDEMPOTENCY_KEY, *key);
        }
        request.body(Body::from("{}")).unwrap()
    }

    async fn taken(request: Request) -> Result<Option<KeyedRequest>, Problem> {
        Submission::from_request(request, &()).await.map(|submission| submission.keyed)
    }

    #[tokio::test]
    async fn a_key_is_optional_and_sent_once() {
        assert!(taken(request("POST", "/register", &[])).await.unwrap().is_none());
        let keyed = taken(request("POST", "/register", &["order-17"])).await.unwrap();
        assert_eq!(keyed.unwrap().key.sent(), "order-17");
        for bad in [&["two words"][..], &[""], &["one", "other"], &["same", "same"]] {
            let problem = taken(request("POST", "/register", bad)).await.unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST);
            assert_eq!(problem.errors[0].field, "Idempotency-Key");
        }
    }

    #[tokio::test]
    async fn the_digest_tells_method_path_and_body_apart() {
        let digest = async |request: Request| taken(request).await.unwrap().unwrap().digest;
        let first = digest(request("POST", "/register", &["k"])).await;
        assert_eq!(digest(request("POST", "/register", &["another"])).await, first);
        assert_ne!(digest(request("PUT", "/register", &["k"])).await, first);
        assert_ne!(digest(request("POST", "/create-loan", &["k"])).await, first);
        let mut other = request("POST", "/register", &["k"]);
        *other.body_mut() = Body::from("{ }");
        assert_ne!(digest(other).await, first);
    }
}
