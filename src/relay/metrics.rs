//! What is counted of relaying in this process.

use std::time::Instant;

use chrono::Utc;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bus::message::Message;
use crate::metrics::buckets::{delay, latency};

/// The relaying of this process.
#[derive(Debug)]
pub struct RelayMetrics {
    working: Gauge,
    published: Counter,
    took: Histogram,
    delayed: Histogram,
    interrupted: Counter,
}

impl RelayMetrics {
    /// Adds them to what Prometheus is told.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            working: Gauge::default(),
            published: Counter::default(),
            took: latency(),
            delayed: delay(),
            interrupted: Counter::default(),
        };
        let help = "1 where this process relays, 0 where it stands by or cannot reach NATS";
        registry.register("relay_working", help, metrics.working.clone());
        registry.register("relay_published_events", "Events that the stream took", metrics.published.clone());
        let help = "Until the stream held all of a batch";
        registry.register("relay_publish_duration_seconds", help, metrics.took.clone());
        let help = "From the append of an event until the stream held it";
        registry.register("relay_delay_seconds", help, metrics.delayed.clone());
        let help = "Times that relaying broke off and was taken up again";
        registry.register("relay_interruptions", help, metrics.interrupted.clone());
        metrics
    }

    /// Counts this process as the one that relays, until the answer is dropped.
    pub(super) fn working(&self) -> Working<'_> {
        self.working.set(1);
        Working(&self.working)
    }

    pub(super) fn published<'a>(&self, messages: impl Iterator<Item = &'a Message>, began: Instant) {
        self.took.observe(began.elapsed().as_secs_f64());
        let now = Utc::now();
        for event in messages.flat_map(|message| &message.events) {
            self.published.inc();
            // Clocks of two machines may differ: what comes out negative was no delay.
            let delayed = (now - event.recorded_at).to_std().unwrap_or_default();
            self.delayed.observe(delayed.as_secs_f64());
        }
    }

    pub(super) fn interrupted(&self) {
        self.interrupted.inc();
    }
}

/// This process relays.
pub(super) struct Working<'a>(&'a Gauge);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}
