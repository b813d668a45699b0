//! How log, read models and imports stand, read from the databases when Prometheus asks, so that any process with the API
//! answers for all of them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::import::jobs as imports;
use crate::status::{ProjectionStatus, Seconds, State, Status};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfImports {
    state: &'static str,
}

type SecondsGauge = Gauge<f64, AtomicU64>;

const STATES: [(State, &str); 5] = [
    (State::Live, "live"),
    (State::CatchingUp, "catching_up"),
    (State::Rebuilding, "rebuilding"),
    (State::Parked, "parked"),
    (State::Stalled, "stalled"),
];

/// Whether the databases could be asked for the rest.
pub(super) fn register_known(registry: &mut Registry, is_known: bool) {
    let answer: Gauge = Gauge::default();
    answer.set(i64::from(is_known));
    registry.register("databases_answer", "1 where both databases answered when the metrics were asked for", answer);
}

pub(super) fn register(registry: &mut Registry, status: &Status, imports: &[(imports::State, i64)]) {
    log(registry, status);
    by_projection(registry, &status.items);
    by_partition(registry, &status.items);
    by_import_state(registry, imports);
}

fn seconds(time: Seconds) -> f64 {
    Duration::from_millis(u64::try_from(time.milliseconds).unwrap_or(0)).as_secs_f64()
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
    type Count = fn(&ProjectionStatus) -> i64;
    let counts: [(&str, &str, Count); 3] = [
        ("projection_lag_events", "Events of the log not yet applied", |item| item.lag_events),
        ("projection_parked", "Customers whose events are withheld", |item| item.parked),
        ("projection_events_per_second", "Events applied a second, of late", |item| item.events_per_second),
    ];
    for (name, help, value) in counts {
        let family = Family::<OfProjection, Gauge>::default();
        for item in items {
            family.get_or_create(&OfProjection { projection: item.name }).set(value(item));
        }
        registry.register(name, help, family);
    }
    type Age = fn(&ProjectionStatus) -> Seconds;
    let ages: [(&str, &str, Age); 2] = [
        ("projection_lag_seconds", "Age of the oldest event not yet applied", |item| item.lag_seconds),
        ("projection_parked_seconds", "Since the first of the withheld customers was parked", |item| {
            item.parked_for_seconds.unwrap_or_default()
        }),
    ];
    for (name, help, value) in ages {
        let family = Family::<OfProjection, SecondsGauge>::default();
        for item in items {
            family.get_or_create(&OfProjection { projection: item.name }).set(seconds(value(item)));
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

fn by_import_state(registry: &mut Registry, imports: &[(imports::State, i64)]) {
    let states = Family::<OfImports, Gauge>::default();
    for (state, count) in imports {
        states.get_or_create(&OfImports { state: state.name() }).set(*count);
    }
    registry.register("imports", "Imports in the state, of those that are kept", states);
}

fn by_partition(registry: &mut Registry, items: &[ProjectionStatus]) {
    let checkpoints = Family::<OfPartition, Gauge>::default();
    let heartbeats = Family::<OfPartition, SecondsGauge>::default();
    for item in items {
        for partition in &item.partitions {
            let label = OfPartition { projection: item.name, partition: partition.partition };
            checkpoints.get_or_create(&label).set(partition.checkpoint);
            if let Some(age) = partition.heartbeat_age_seconds {
                heartbeats.get_or_create(&label).set(seconds(age));
            }
        }
    }
    registry.register("projection_checkpoint_position", "Last position applied", checkpoints);
    let help = "Since the partition's worker was last seen to go round";
    registry.register("projection_heartbeat_age_seconds", help, heartbeats);
}
