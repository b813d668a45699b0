//! Whether NATS can be reached, looked at when Prometheus asks.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Bus;

/// Adds it to what Prometheus is told, in a process that has a NATS.
pub fn register(registry: &mut Registry, bus: &Bus) {
    registry.register_collector(Box::new(Connection(bus.clone())));
}

struct Connection(Bus);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.0.is_connected()).finish()
    }
}

impl Collector for Connection {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let connected = ConstGauge::new(i64::from(self.0.is_connected()));
        let help = "1 where this process is connected to NATS";
        let encoder = encoder.encode_descriptor("nats_connected", help, None, connected.metric_type())?;
        connected.encode(encoder)
    }
}
