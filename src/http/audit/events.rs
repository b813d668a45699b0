//! `GET /v1/events?after=&limit=`.

use aggregates::Invalid;
use aggregates::ids::MAX_ID;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::told::Event;
use crate::audit::events_after;
use crate::http::Api;
use crate::http::parameters::{Parameters, parse_limit};
use crate::http::problem::Problem;

const DEFAULT_LIMIT_EVENTS: i64 = 100;
const MAX_LIMIT_EVENTS: i64 = 1000;

/// Events of the log.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "position": 1042, "recorded_at": "2026-11-24T09:30:00.123456+00:00", "customer_id": 10015,
    "aggregate_type": "customer", "aggregate_id": "301", "sequence": 3, "type": "PhoneNumberChanged", "version": "1.0",
    "data": {"customer_id": 10015, "personal": {"phone_number": "9876543210"}, "changed_at": "2026-11-24T09:30:00Z"},
    "metadata": {"customer_id": "301", "request_id": "checkout-7f3a"}, "summary": "The phone number changed.",
}], "next_after": 1042, "more": false})))]
pub(super) struct EventList {
    items: Vec<Event>,
    /// Read on behind this position: the last event's, or `after` again where nothing came.
    next_after: i64,
    /// Whether more events stand behind it already. They need not be settled: with no items, ask again a little later.
    more: bool,
}

/// Read the log
///
/// Events in the order of the log, behind a position. Only what is settled is handed out: while a transaction may still
/// put an event before others, those wait. So whoever reads on with `next_after` gets every event, each once.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(
        ("after" = Option<i64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64,
         description = "The position behind which to begin; 0 unless told.",
         example = 1042),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "Items, at most; 100 unless told."),
    ),
    responses((status = 200, description = "What comes next.", body = EventList)))]
pub(super) async fn list_events(
    State(api): State<Api>,
    mut parameters: Parameters,
) -> Result<Json<EventList>, Problem> {
    let after = parameters.read("after", position).unwrap_or(0);
    let limit = parameters.read("limit", |text| parse_limit(text, MAX_LIMIT_EVENTS)).unwrap_or(DEFAULT_LIMIT_EVENTS);
    parameters.finish()?;
    let (events, more) = api.log.while_there(events_after(&api.log, after, limit)).await?;
    let next_after = events.last().map_or(after, |last| last.event.position);
    Ok(Json(EventList { items: events.into_iter().map(Event::from).collect(), next_after, more }))
}

fn position(text: &str) -> Result<i64, Invalid> {
    let position = text.parse().ok().filter(|position| (0..=MAX_ID).contains(position));
    position.ok_or_else(|| Invalid(format!("must be an integer from 0 to {MAX_ID}")))
}
