//! What Prometheus asks for: how log and read models stand, read from the databases when it asks, so that any process
//! with the API answers for all of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::status::{ProjectionStatus, Seconds, State, Status};

/// The content type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProjection {
    projection: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPartition {
    projection: &'static str,
    partition: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    projection: &'static str,
    state: &'static str,
}

type ByProjection = Family<OfProjection, Gauge>;
type ByPartition = Family<OfPartition, Gauge>;

const STATES: [(State, &str); 5] = [
    (State::Live, "live"),
    (State::CatchingUp, "catching_up"),
    (State::Rebuilding, "rebuilding"),
    (State::Parked, "parked"),
    (State::Stalled, "stalled"),
];

/// The metrics, in the text format.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn render(status: &Status) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("credit_approval");
    log(&mut registry, status);
    by_projection(&mut registry, &status.items);
    by_partition(&mut registry, &status.items);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn milliseconds(seconds: Option<Seconds>) -> i64 {
    seconds.unwrap_or_default().milliseconds
}

fn log(registry: &mut Registry, status: &Status) {
    let head: Gauge = Gauge::default();
    head.set(status.log.head);
    registry.register("log_head_position", "Highest committed position of the log", head);
    let waiting: Gauge = Gauge::default();
    waiting.set(status.log.waiting_for.iter().map(|appender| appender.seconds).max().unwrap_or(0));
    let help = "Age of the oldest transaction that may still append, 0 for none older than a second";
    registry.register("log_held_seconds", help, waiting);
}

fn by_projection(registry: &mut Registry, items: &[ProjectionStatus]) {
    type Value = fn(&ProjectionStatus) -> i64;
    let gauges: [(&str, &str, Value); 5] = [
        ("projection_lag_events", "Events of the log not yet applied", |item| item.lag_events),
        ("projection_lag_milliseconds", "Age of the oldest event not yet applied", |item| {
            item.lag_seconds.milliseconds
        }),
        ("projection_parked", "Customers whose events are withheld", |item| item.parked),
        ("projection_parked_age_milliseconds", "Since the first of them was parked", |item| {
            milliseconds(item.parked_for_seconds)
        }),
        ("projection_events_per_second", "Events applied a second, of late", |item| item.events_per_second),
    ];
    for (name, help, value) in gauges {
        let family = ByProjection::default();
        for item in items {
            family.get_or_create(&OfProjection { projection: item.name }).set(value(item));
        }
        registry.register(name, help, family);
    }
    let states = Family::<OfState, Gauge>::default();
    for item in items {
        for (state, name) in STATES {
            let gauge = states.get_or_create(&OfState { projection: item.name, state: name });
            gauge.set(i64::from(item.state == state));
        }
    }
    registry.register("projection_state", "1 for the state that the read model is in", states);
}

fn by_partition(registry: &mut Registry, items: &[ProjectionStatus]) {
    let (checkpoints, heartbeats) = (ByPartition::default(), ByPartition::default());
    for item in items {
        for partition in &item.partitions {
            let label = OfPartition { projection: item.name, partition: partition.partition };
            checkpoints.get_or_create(&label).set(partition.checkpoint);
            if let Some(age) = partition.heartbeat_age_seconds {
                heartbeats.get_or_create(&label).set(age.milliseconds);
            }
        }
    }
    registry.register("projection_checkpoint_position", "Last position applied", checkpoints);
    let help = "Since the partition's worker was last seen to go round";
    registry.register("projection_heartbeat_age_milliseconds", help, heartbeats);
}
