//! The traces of what is published: a span for each event whose request is traced, from its publishing until the stream
//! holds it. A message carries its spans' trace contexts, so that whoever applies the events goes on from there.

use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use projections::StoredEvent;

use super::message::{Message, Traceparents};
use crate::telemetry::traces::{self, Later};

/// The spans of a batch; they end with it.
pub(super) struct Publishing {
    began: SystemTime,
    spans: Vec<Later>,
}

impl Publishing {
    pub(super) fn begin() -> Self {
        Self { began: SystemTime::now(), spans: Vec::new() }
    }

    /// The trace contexts that a message is to carry, of those of its events whose requests are traced.
    pub(super) fn add(&mut self, subject: &str, message: &Message) -> Traceparents {
        let events = message.events.iter();
        events.filter_map(|event| Some((event.position, self.add_event(subject, event)?))).collect()
    }

    fn add_event(&mut self, subject: &str, event: &StoredEvent) -> Option<String> {
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
