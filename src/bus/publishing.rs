//! The traces of what is published: a span for each event whose request is traced, from its publishing until the stream
//! holds it. A message carries its span's trace context, so that whoever applies the event goes on from there.

use std::time::SystemTime;

use async_nats::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use super::message::Message;
use crate::telemetry::traces::{self, Later};

/// The header, by its W3C name.
const TRACEPARENT: &str = "traceparent";

/// The spans of a batch; they end with it.
pub(super) struct Publishing {
    began: SystemTime,
    spans: Vec<Later>,
}

impl Publishing {
    pub(super) fn begin() -> Self {
        Self { began: SystemTime::now(), spans: Vec::new() }
    }

    /// The trace context that a message is to carry, where its event's request is traced.
    pub(super) fn add(&mut self, subject: &str, message: &Message) -> Option<String> {
        let event = message.event.as_ref()?;
        let parent = traces::parent_in(event.metadata.get())?;
        let attributes = vec![
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", subject.to_owned()),
            KeyValue::new("credit_approval.position", event.position),
            KeyValue::new("credit_approval.event_type", event.event_type.clone()),
        ];
        let span = Later::new(&parent, format!("publish {subject}"), SpanKind::Producer, self.began, attributes)?;
        let traceparent = span.traceparent();
        self.spans.push(span);
        traceparent
    }

    /// The stream did not take the batch, or not all of it.
    pub(super) fn failed(mut self, error: &impl std::fmt::Display) {
        for span in &mut self.spans {
            span.failed(error);
        }
    }
}

/// A message's headers with a trace context.
pub(super) fn carrying(traceparent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, traceparent);
    headers
}

/// The trace context that a message carries; nobody asks for it where no traces are made.
#[must_use]
pub fn carried(headers: Option<&HeaderMap>) -> Option<String> {
    if !traces::are_made() {
        return None;
    }
    Some(headers?.get(TRACEPARENT)?.as_str().to_owned())
}
