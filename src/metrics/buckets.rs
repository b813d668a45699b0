//! How times are sorted into buckets: everywhere alike, so that they can be laid on top of each other.

use prometheus_client::metrics::histogram::Histogram;

/// From what a cached read takes to what a request waits at most.
const LATENCIES_SECONDS: [f64; 13] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From at once to an outage.
const DELAYS_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// What somebody waits for.
#[must_use]
pub fn latency() -> Histogram {
    Histogram::new(LATENCIES_SECONDS)
}

/// How much later something happened.
#[must_use]
pub fn delay() -> Histogram {
    Histogram::new(DELAYS_SECONDS)
}
