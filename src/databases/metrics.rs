//! What pools are and how long was waited for their connections.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use sqlx::PgPool;

use crate::metrics::Metrics;

/// From a tenth of a millisecond, where a connection is free, to a wait that ends in vain.
const WAIT_SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfPool {
    pub(super) pool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    pool: &'static str,
    state: &'static str,
}

/// Waits by pool.
pub(super) type Waits = Family<OfPool, Histogram, fn() -> Histogram>;

pub(super) fn waits() -> Waits {
    Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS))
}

#[derive(Debug)]
struct Pools(Vec<(&'static str, PgPool)>);

pub(super) fn register(metrics: &Metrics, pools: Vec<(&'static str, PgPool)>, waits: &Waits) {
    metrics.register(|registry| {
        registry.register_collector(Box::new(Pools(pools)));
        let help = "Time until a request had a connection, or was told that there is none";
        registry.register("database_acquire_seconds", help, waits.clone());
    });
}

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Connections of the pool, by what they do";
        let mut connections = encoder.encode_descriptor("database_connections", help, None, MetricType::Gauge)?;
        for (name, pool) in &self.0 {
            let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
            // The two are read one after the other.
            let in_use = (i64::from(pool.size()) - idle).max(0);
            for (state, count) in [("idle", idle), ("in_use", in_use)] {
                connections.encode_family(&OfState { pool: name, state })?.encode_gauge(&count)?;
            }
        }
        let help = "Connections that the pool may have";
        let mut most = encoder.encode_descriptor("database_connections_max", help, None, MetricType::Gauge)?;
        for (name, pool) in &self.0 {
            let max = i64::from(pool.options().get_max_connections());
            most.encode_family(&OfPool { pool: name })?.encode_gauge(&max)?;
        }
        Ok(())
    }
}
