//! What the cache tells Prometheus of itself.

use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::ProfileCache;
use crate::metrics::Metrics;

/// Why an entry was not asked, or was not fresh enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bypass {
    /// The request's token is newer than what is known here.
    Token,
    /// What this process has answered is newer than what is known here.
    Answered,
    /// The log or the read models were not seen of late.
    Unseen,
}

impl Bypass {
    const ALL: [Self; 3] = [Self::Token, Self::Answered, Self::Unseen];

    const fn label(self) -> OfReason {
        let reason = match self {
            Self::Token => "token",
            Self::Answered => "answered",
            Self::Unseen => "unseen",
        };
        OfReason { reason }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// What is counted.
pub(super) struct Counts {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) evictions: Counter,
    pub(super) invalidations: Counter,
    pub(super) resets: Counter,
    bypasses: Family<OfReason, Counter>,
}

impl Counts {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let (hits, misses, evictions) = (Counter::default(), Counter::default(), Counter::default());
        let (invalidations, resets, bypasses) = (Counter::default(), Counter::default(), Family::default());
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("profile_cache");
            registry.register("hits", "Credit profiles answered from memory", hits.clone());
            registry.register("misses", "Credit profiles that were not in memory", misses.clone());
            registry.register("evictions", "Credit profiles dropped for want of room", evictions.clone());
            registry.register("invalidations", "Credit profiles dropped for an event", invalidations.clone());
            registry.register("resets", "Times that all credit profiles were dropped", resets.clone());
            let help = "Credit profiles read from the database although they may be in memory";
            registry.register("bypasses", help, bypasses.clone());
        });
        for reason in Bypass::ALL {
            // A series is there from the beginning, so that its first increase is one.
            drop(bypasses.get_or_create(&reason.label()));
        }
        Self { hits, misses, evictions, invalidations, resets, bypasses }
    }

    /// Counts a bypass; answers that there is nothing.
    pub(super) fn bypassed<T>(&self, reason: Bypass) -> Option<T> {
        self.bypasses.get_or_create(&reason.label()).inc();
        None
    }
}

/// How large the cache is when it is asked.
#[derive(Debug)]
struct Sizes(Weak<ProfileCache>);

impl std::fmt::Debug for ProfileCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProfileCache").field("capacity_bytes", &self.capacity_bytes).finish_non_exhaustive()
    }
}

/// Adds what is read when Prometheus asks.
pub(super) fn register_sizes(metrics: &Metrics, cache: &Arc<ProfileCache>) {
    let sizes = Sizes(Arc::downgrade(cache));
    metrics.register(|registry| {
        registry.sub_registry_with_prefix("profile_cache").register_collector(Box::new(sizes));
    });
}

impl Collector for Sizes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(cache) = self.0.upgrade() else { return Ok(()) };
        // What was added and removed of late is counted by this at the latest.
        cache.entries.run_pending_tasks();
        let gauges = [
            ("size", "Memory that credit profiles take", Some(Unit::Bytes), cache.entries.weighted_size()),
            ("capacity", "Memory that credit profiles may take", Some(Unit::Bytes), cache.capacity_bytes),
            ("entries", "Credit profiles in memory", None, cache.entries.entry_count()),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}
