//! What is taken on, and for how long: a request beyond that is refused at once.
//!
//! What reads much and what takes long have gates of their own, so that they do not keep what is done soon from its turn.
//! Time being up ends what reads. A command is not ended in the middle: it goes on, in its slot, and the client is told
//! that its outcome is not known. Where not even the body has come, nothing was done.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::received::Received;
use crate::gate::{Gate, Gates};
use crate::http::Api;
use crate::http::problem::Problem;

/// Whoever looks after the service is let in always; and so is who asks for what is in memory.
const FREE: [&str; 6] =
    ["/metrics", "/openapi.json", "/docs", "/docs/{file}", "/v1/policies", "/v1/policies/{policy_id}"];
const HEALTH: &str = "/health/";
/// What reads much.
const HEAVY: [&str; 5] = [
    "/v1/events",
    "/v1/customers/{customer_id}/history",
    "/v1/loans/{loan_id}/history",
    "/v1/imports/{import_id}/rejects",
    "/v1/projections",
];
/// What takes long, where it is posted.
const LONG: [&str; 2] = ["/v1/imports", "/v1/policies/backtest"];
/// What is posted and changes nothing.
const QUESTIONS: [&str; 3] = ["/check-eligibility", "/v1/decisions/preview", "/v1/policies/backtest"];

pub(in crate::http) async fn load(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(gate) = gate(&api.gates, &request) else { return next.run(request).await };
    let Ok(slot) = gate.enter().await else { return Problem::overloaded().into_response() };
    let is_command = is_command(&request);
    let (request, received) = Received::of(request);
    let mut work = Box::pin(next.run(request));
    if let Ok(response) = tokio::time::timeout(gate.takes(), &mut work).await {
        return response;
    }
    gate.timed_out();
    if !received.is_complete() {
        return Problem::too_slow().into_response();
    }
    if !is_command {
        return Problem::took_too_long().into_response();
    }
    let going_on = async move {
        let status = work.await.status().as_u16();
        drop(slot);
        tracing::info!(status, "a command has ended that its client was told is still under way");
    };
    tokio::spawn(going_on.in_current_span());
    Problem::still_under_way().into_response()
}

fn path(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Where a request waits; `None` where it need not. That there is no such path is said at once.
fn gate<'a>(gates: &'a Gates, request: &Request) -> Option<&'a Gate> {
    let path = path(request)?;
    if FREE.contains(&path) || path.starts_with(HEALTH) {
        None
    } else if HEAVY.contains(&path) {
        Some(&gates.heavy)
    } else if request.method() == Method::POST && LONG.contains(&path) {
        Some(&gates.long)
    } else {
        Some(&gates.ordinary)
    }
}

fn is_command(request: &Request) -> bool {
    !request.method().is_safe() && !path(request).is_some_and(|path| QUESTIONS.contains(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_here_is_one_that_is_served() {
        let description: serde_json::Value = serde_json::from_str(&crate::http::description()).unwrap();
        let served = description["paths"].as_object().unwrap();
        let here = FREE.iter().chain(&HEAVY).chain(&LONG).chain(&QUESTIONS);
        for path in here {
            assert!(served.contains_key(*path), "{path}");
        }
    }
}
