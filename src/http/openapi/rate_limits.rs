//! What rate limits add to the description: how the caller stands, and that it may be refused.

use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Components;
use utoipa::openapi::{Header, RefOr, Response};

use super::shared::{RETRY_AFTER, add_response, header_ref, problem, text};

const RATE_LIMIT: &str = "RateLimit";
const RATE_LIMIT_POLICY: &str = "RateLimit-Policy";
const TOO_MANY_REQUESTS: &str = "TooManyRequests";

/// Of an operation that counts.
pub(super) fn add(operation: &mut Operation) {
    add_response(operation, "429", TOO_MANY_REQUESTS);
    // Where counts cannot be shared, and nothing is to be let through without.
    add_response(operation, "503", "Unavailable");
    operation.responses.responses.values_mut().for_each(add_headers);
}

/// What [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let mut refused = problem("The hour's requests are used up; `Retry-After` says when the next hour begins.");
    refused.headers.insert(RETRY_AFTER.to_owned(), header_ref(RETRY_AFTER));
    components.responses.insert(TOO_MANY_REQUESTS.to_owned(), RefOr::T(refused));
    components.responses.values_mut().for_each(add_headers);
    for (name, header) in headers() {
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
}

fn add_headers(response: &mut RefOr<Response>) {
    if let RefOr::T(response) = response {
        for name in [RATE_LIMIT_POLICY, RATE_LIMIT] {
            response.headers.insert(name.to_owned(), header_ref(name));
        }
    }
}

fn headers() -> [(&'static str, Header); 2] {
    [
        (
            RATE_LIMIT_POLICY,
            "Requests that the caller may send (`q`) in a window of so many seconds (`w`); absent where nothing limits it.",
            "^\"hour\";q=[0-9]+;w=3600$",
            json!("\"hour\";q=1000;w=3600"),
        ),
        (
            RATE_LIMIT,
            "Requests that are left (`r`), and seconds until there are as many as ever (`t`).",
            "^\"hour\";r=[0-9]+;t=[0-9]+$",
            json!("\"hour\";r=937;t=1250"),
        ),
    ]
    .map(|(name, description, pattern, example)| {
        let header = HeaderBuilder::new().description(Some(description)).example(Some(example));
        (name, header.schema(Some(text().pattern(Some(pattern)))).build())
    })
}
