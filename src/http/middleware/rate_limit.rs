//! Counts each request against its caller's limit, and says in its answer how the caller stands (IETF draft
//! "RateLimit header fields for HTTP").

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::Caller;
use crate::access::authenticator::Identity;
use crate::http::problem::Problem;
use crate::limits::{Limits, Standing, Verdict, WINDOW};

pub(in crate::http) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(in crate::http) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whether a path is served without a limit: whoever watches the process must not be kept from it.
pub(in crate::http) fn is_unlimited(path: &str) -> bool {
    path.starts_with("/health/")
}

pub(in crate::http) async fn rate_limit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get().cloned().unwrap_or(Caller::Anonymous);
    // Whose key or token could not be looked up is told so further in, and nobody is charged for it.
    if matches!(request.extensions().get(), Some(Identity::Undecided)) {
        return next.run(request).await;
    }
    let path = request.uri().path();
    // Prometheus comes often. Who only guesses at keys there is counted.
    let is_scrape = path == "/metrics" && caller != Caller::Anonymous;
    if is_unlimited(path) || is_scrape {
        return next.run(request).await;
    }
    let address = client(&limits, &request);
    let (mut response, standing) = match limits.check(&caller, address).await {
        Verdict::Unlimited => return next.run(request).await,
        Verdict::Unknown => return Problem::limits_unknown().into_response(),
        Verdict::Granted(standing) => (next.run(request).await, standing),
        Verdict::Refused(standing) => (Problem::rate_limited(standing).into_response(), standing),
    };
    let headers = response.headers_mut();
    let Standing { quota, remaining, resets_in_seconds } = standing;
    let values = [
        (RATE_LIMIT_POLICY, format!("\"hour\";q={quota};w={}", WINDOW.as_secs())),
        (RATE_LIMIT, format!("\"hour\";r={remaining};t={resets_in_seconds}")),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

fn client(limits: &Limits, request: &Request) -> std::net::IpAddr {
    let peer = request.extensions().get().map(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip());
    let proxies = limits.proxies();
    let lines = request.headers().get_all(proxies.header_name()).iter();
    // What is not even text cannot be read as an address either.
    proxies.client(peer, lines.map(|line| line.to_str().unwrap_or("?")))
}
