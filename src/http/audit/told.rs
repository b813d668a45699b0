//! An event as it is told.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::audit::Told;

/// An event of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    /// Its place in the log, strictly rising, with gaps.
    position: i64,
    /// When it was appended.
    #[schema(format = DateTime)]
    recorded_at: String,
    /// Whose credit it is about, as it says itself.
    customer_id: i64,
    /// Which kind of stream it is in: `customer` or `loan`.
    aggregate_type: String,
    /// Which stream of that kind: the customer's or the loan's id.
    aggregate_id: String,
    /// Its place in the stream, from 1, without gaps.
    sequence: i64,
    /// What happened.
    #[serde(rename = "type")]
    event_type: String,
    /// The version of its data.
    version: String,
    /// Its data, as recorded in that version: an object, with amounts and rates as strings. Of an event that this
    /// version of the service cannot read, whatever was recorded.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// The request that led to it, its trace, and the like.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    /// What happened, in a sentence; null for an event that this version of the service cannot read.
    summary: Option<String>,
}

impl From<Told> for Event {
    fn from(Told { event, data, summary }: Told) -> Self {
        Self {
            position: event.position,
            recorded_at: event.recorded_at.to_rfc3339(),
            customer_id: event.customer_id,
            aggregate_type: event.aggregate_type,
            aggregate_id: event.aggregate_id,
            sequence: event.sequence,
            event_type: event.event_type,
            version: event.event_version,
            data,
            metadata: event.metadata.0,
            summary,
        }
    }
}
