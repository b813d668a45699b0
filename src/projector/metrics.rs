//! What is counted of the workers of this process, and the traces of what they apply.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use chrono::{DateTime, Utc};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use projections::{Projection, Slot, StoredEvent};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::buckets::{delay, latency};
use crate::telemetry::traces::{Later, parent, parent_in};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProjection {
    projection: &'static str,
}

/// The workers of this process.
#[derive(Debug)]
pub struct WorkerMetrics {
    applied: Family<OfProjection, Counter>,
    took: Family<OfProjection, Histogram, fn() -> Histogram>,
    delayed: Family<OfProjection, Histogram, fn() -> Histogram>,
    failed: Family<OfProjection, Counter>,
}

impl WorkerMetrics {
    /// Adds them to what Prometheus is told.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            applied: Family::default(),
            took: Family::new_with_constructor(latency),
            delayed: Family::new_with_constructor(delay),
            failed: Family::default(),
        };
        for projection in Projection::ALL.map(Projection::name) {
            drop(metrics.applied.get_or_create(&OfProjection { projection }));
            drop(metrics.failed.get_or_create(&OfProjection { projection }));
        }
        let help = "Events that this process's workers applied";
        registry.register("projection_applied_events", help, metrics.applied.clone());
        let help = "Until a batch and its checkpoint were committed";
        registry.register("projection_apply_duration_seconds", help, metrics.took.clone());
        let help = "From the append of an event until the read model had it";
        registry.register("projection_delay_seconds", help, metrics.delayed.clone());
        let help = "Times that a worker ended with an error and was started again";
        registry.register("projection_worker_failures", help, metrics.failed.clone());
        metrics
    }

    pub(super) fn failed(&self, projection: Projection) {
        self.failed.get_or_create(&OfProjection { projection: projection.name() }).inc();
    }

    /// A batch took effect.
    pub(super) fn applied(&self, (projection, partition): Slot, batch: Applying) {
        let of = OfProjection { projection: projection.name() };
        self.took.get_or_create(&of).observe(batch.began.elapsed().as_secs_f64());
        let applied = u64::try_from(batch.recorded_at.len()).unwrap_or(u64::MAX);
        self.applied.get_or_create(&of).inc_by(applied);
        let delayed = self.delayed.get_or_create_owned(&of);
        let now = Utc::now();
        for recorded_at in batch.recorded_at {
            // Clocks of two machines may differ: what comes out negative was no delay.
            delayed.observe((now - recorded_at).to_std().unwrap_or_default().as_secs_f64());
        }
        for (position, parent) in batch.parents {
            let attributes = vec![
                KeyValue::new("credit_approval.projection", projection.name()),
                KeyValue::new("credit_approval.partition", i64::from(partition.number())),
                KeyValue::new("credit_approval.position", position),
                KeyValue::new("credit_approval.batch_events", i64::try_from(applied).unwrap_or(i64::MAX)),
            ];
            // Begun with its batch, it ends at once.
            drop(Later::new(&parent, format!("apply {projection}"), SpanKind::Consumer, batch.began_at, attributes));
        }
    }
}

/// The trace contexts that messages carried, by the positions of their events.
pub(super) type Carried = HashMap<i64, String>;

/// A batch that is being applied: what is to be told of it once it took effect.
pub(super) struct Applying {
    began: Instant,
    began_at: SystemTime,
    recorded_at: Vec<DateTime<Utc>>,
    /// Of the events whose requests are traced: what their messages carried, or their metadata where they came from the
    /// log.
    parents: Vec<(i64, Context)>,
}

impl Applying {
    pub(super) fn begin(batch: &[Arc<StoredEvent>], carried: &Carried) -> Self {
        let parent_of = |event: &StoredEvent| match carried.get(&event.position) {
            Some(traceparent) => parent(traceparent),
            None => parent_in(event.metadata.get()),
        };
        Self {
            began: Instant::now(),
            began_at: SystemTime::now(),
            recorded_at: batch.iter().map(|event| event.recorded_at).collect(),
            parents: batch.iter().filter_map(|event| Some((event.position, parent_of(event)?))).collect(),
        }
    }
}
