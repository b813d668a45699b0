//! How the read models stand, for operators: checkpoints, lag, heartbeats, what is parked, what is being rebuilt, and on
//! whom the log waits.

use std::collections::HashMap;

use projections::checkpoint::{self, Checkpoint};
use projections::rebuilds::{self, Phase, Rebuild};
use projections::workers::{self, Heard};
use projections::{PARTITIONS, Partition, Projection, Slot, parked, slots};
use serde::{Serialize, Serializer};
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::PgPool;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::store::gap::{LongAppender, long_appenders};
use crate::store::reader::{Pending, head, pending};

/// Up to so many events beyond a checkpoint are counted; those beyond are estimated.
const COUNTED_EVENTS: i64 = 1000;
/// A worker that was not seen to go round for longer is stalled.
const STALLED_MILLISECONDS: i64 = 15_000;
/// What is applied within this time is no lag to speak of.
const CATCHING_UP_MILLISECONDS: i64 = 2_000;

/// A time, written as a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seconds {
    /// In milliseconds.
    pub milliseconds: i64,
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = self.milliseconds.max(0);
        write!(f, "{}.{:03}", milliseconds / 1000, milliseconds % 1000)
    }
}

impl PartialSchema for Seconds {
    fn schema() -> RefOr<Schema> {
        let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
        seconds.description(Some("Seconds, to the millisecond.")).into()
    }
}

impl ToSchema for Seconds {}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// How a read model, or a partition of it, is doing; the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = ReadModelState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has what the log has.
    Live,
    /// It is behind, and applies what it lacks.
    CatchingUp,
    /// It is being made anew, and serves meanwhile.
    Rebuilding,
    /// Some customers' events are withheld.
    Parked,
    /// Nobody was seen to work on it.
    Stalled,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::CatchingUp => "catching up",
            Self::Rebuilding => "rebuilding",
            Self::Parked => "parked",
            Self::Stalled => "stalled",
        })
    }
}

/// How everything stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ReadModels, examples(json!({
    "log": {"head": 2164, "waiting_for": []},
    "items": [{
        "name": "loans", "version": 2, "rows_version": 2, "state": "live", "lag_events": 0, "lag_seconds": 0.0,
        "parked": 0, "parked_for_seconds": null, "events_per_second": 3, "rebuild": null,
        "partitions": [{
            "partition": 0, "checkpoint": 2164, "lag_events": 0, "lag_seconds": 0.0, "heartbeat_age_seconds": 0.421,
            "process": "api-1:17", "state": "live", "parked": 0, "events_per_second": 3,
        }],
    }],
})))]
pub struct Status {
    /// The log.
    pub log: LogStatus,
    /// The read models.
    pub items: Vec<ProjectionStatus>,
}

/// How the log stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LogStatus {
    /// Its highest committed position.
    pub head: i64,
    /// Transactions that have been about to append for more than a second: beyond what they may still commit, the log
    /// waits for them.
    pub waiting_for: Vec<LongAppender>,
}

/// How a read model stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// The version of its fold in this build.
    pub version: i16,
    /// The lowest version that its rows were made by.
    pub rows_version: i16,
    /// The gravest of its partitions.
    pub state: State,
    /// Events that it has not applied: counted up to a thousand a partition, estimated beyond.
    pub lag_events: i64,
    /// The age of the oldest of them.
    pub lag_seconds: Seconds,
    /// Customers whose events are withheld.
    pub parked: i64,
    /// Since when the first of them is.
    #[schema(required)]
    pub parked_for_seconds: Option<Seconds>,
    /// Events applied a second, of late.
    pub events_per_second: i64,
    /// The latest rebuild.
    #[schema(required)]
    pub rebuild: Option<RebuildStatus>,
    /// By partition.
    pub partitions: Vec<PartitionStatus>,
}

/// How a partition of a read model stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u8,
    /// The last position applied.
    pub checkpoint: i64,
    /// Events of the partition that are not applied.
    pub lag_events: i64,
    /// The age of the oldest of them.
    pub lag_seconds: Seconds,
    /// Since its worker was last seen to go round; null where there never was one.
    #[schema(required)]
    pub heartbeat_age_seconds: Option<Seconds>,
    /// The process that its worker runs in.
    #[schema(required)]
    pub process: Option<String>,
    /// How it is doing.
    pub state: State,
    /// Customers whose events are withheld.
    pub parked: i32,
    /// Events applied a second, of late.
    pub events_per_second: i32,
}

/// How a rebuild stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(examples(json!({
    "rebuild_id": 4, "projections": ["loans"], "phase": "filling", "events": 1200, "events_total": 2164,
    "events_per_second": 900, "seconds_left": 1, "cancel_requested": false, "process": "projector-1:17",
    "error": null, "requested_at": "2026-03-31T09:30:00+00:00", "updated_at": "2026-03-31T09:30:02+00:00",
    "finished_at": null,
})))]
pub struct RebuildStatus {
    /// Its number.
    pub rebuild_id: i64,
    /// Of which read models.
    pub projections: Vec<String>,
    /// Where it is.
    #[schema(schema_with = phases)]
    pub phase: Phase,
    /// Events folded so far.
    pub events: i64,
    /// Events to fold in bulk.
    #[schema(required)]
    pub events_total: Option<i64>,
    /// How fast.
    pub events_per_second: i32,
    /// Until they are folded.
    #[schema(required)]
    pub seconds_left: Option<i64>,
    /// Whether it has been asked to stop.
    pub cancel_requested: bool,
    /// Which process works on it.
    #[schema(required)]
    pub process: Option<String>,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<String>,
    /// When it was asked for.
    #[schema(format = DateTime)]
    pub requested_at: String,
    /// When it last made progress.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// When it ended.
    #[schema(format = DateTime, required)]
    pub finished_at: Option<String>,
}

fn phases() -> Object {
    let phases = [
        Phase::Waiting,
        Phase::Filling,
        Phase::Checking,
        Phase::Indexing,
        Phase::CatchingUp,
        Phase::Swapping,
        Phase::Done,
        Phase::Failed,
        Phase::Cancelled,
    ];
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(phases.map(|phase| json!(phase)))).build()
}

impl From<Rebuild> for RebuildStatus {
    fn from(rebuild: Rebuild) -> Self {
        Self {
            seconds_left: rebuild.seconds_left(),
            rebuild_id: rebuild.rebuild_id,
            projections: rebuild.projections,
            phase: rebuild.phase,
            events: rebuild.events,
            events_total: rebuild.events_total,
            events_per_second: rebuild.events_per_second,
            cancel_requested: rebuild.cancel_requested,
            process: rebuild.process,
            error: rebuild.error,
            requested_at: rebuild.requested_at.to_rfc3339(),
            updated_at: rebuild.updated_at.to_rfc3339(),
            finished_at: rebuild.finished_at.map(|at| at.to_rfc3339()),
        }
    }
}

/// What a slot has not applied.
#[derive(Debug, Clone, Copy, Default)]
struct Lag {
    events: i64,
    age: Seconds,
}

/// Reads how everything stands.
///
/// # Errors
/// When a database does not answer.
pub async fn status(log: &PgPool, read_models: &PgPool) -> Result<Status, sqlx::Error> {
    let checkpoints: HashMap<Slot, Checkpoint> = checkpoint::load_all(read_models)
        .await?
        .into_iter()
        .map(|(projection, partition, checkpoint)| ((projection, partition), checkpoint))
        .collect();
    let head = head(log).await?;
    let lags = lags(log, &checkpoints, head).await?;
    let mut heard = HashMap::new();
    for one in workers::all(read_models).await? {
        if let Some(slot) = slot(&one.projection, one.partition) {
            heard.insert(slot, one);
        }
    }
    let parked_since: HashMap<String, i64> = parked::summary(read_models).await?.into_iter().collect();
    let mut items = Vec::new();
    for projection in Projection::ALL {
        let partitions: Vec<_> = Partition::all()
            .map(|partition| {
                let slot = (projection, partition);
                let checkpoint = checkpoints.get(&slot).copied();
                partition_status(partition, checkpoint, lags.get(&slot).copied(), heard.get(&slot))
            })
            .collect();
        let rebuild = rebuilds::latest(read_models, projection).await?;
        let rebuilding = rebuild.as_ref().is_some_and(|rebuild| rebuild.finished_at.is_none());
        let worst = partitions.iter().map(|partition| partition.state).max().unwrap_or(State::Live);
        let versions = checkpoints.iter().filter(|((of, _), _)| *of == projection).map(|(_, held)| held.version);
        items.push(ProjectionStatus {
            name: projection.name(),
            version: projection.version(),
            rows_version: versions.min().unwrap_or(projection.version()),
            state: if rebuilding { worst.max(State::Rebuilding) } else { worst },
            lag_events: partitions.iter().map(|partition| partition.lag_events).sum(),
            lag_seconds: partitions.iter().map(|partition| partition.lag_seconds).max().unwrap_or_default(),
            parked: partitions.iter().map(|partition| i64::from(partition.parked)).sum(),
            parked_for_seconds: parked_since.get(projection.name()).map(|age| Seconds { milliseconds: *age }),
            events_per_second: partitions.iter().map(|partition| i64::from(partition.events_per_second)).sum(),
            rebuild: rebuild.map(RebuildStatus::from),
            partitions,
        });
    }
    Ok(Status { log: LogStatus { head, waiting_for: long_appenders(log).await? }, items })
}

fn slot(projection: &str, partition: i16) -> Option<Slot> {
    Some((Projection::from_name(projection)?, Partition::from_number(u8::try_from(partition).ok()?)?))
}

fn partition_status(
    partition: Partition,
    checkpoint: Option<Checkpoint>,
    lag: Option<Lag>,
    heard: Option<&Heard>,
) -> PartitionStatus {
    let checkpoint = checkpoint.unwrap_or_default();
    let lag = lag.unwrap_or_default();
    let beats = heard.is_some_and(|heard| heard.age_milliseconds <= STALLED_MILLISECONDS);
    let state = if !beats {
        State::Stalled
    } else if checkpoint.parked > 0 {
        State::Parked
    } else if lag.age.milliseconds > CATCHING_UP_MILLISECONDS {
        State::CatchingUp
    } else {
        State::Live
    };
    PartitionStatus {
        partition: partition.number(),
        checkpoint: checkpoint.position,
        lag_events: lag.events,
        lag_seconds: lag.age,
        heartbeat_age_seconds: heard.map(|heard| Seconds { milliseconds: heard.age_milliseconds }),
        process: heard.map(|heard| heard.process.clone()),
        state,
        parked: checkpoint.parked,
        events_per_second: if beats { heard.map_or(0, |heard| heard.events_per_second) } else { 0 },
    }
}

/// What each slot has not applied.
async fn lags(
    log: &PgPool,
    checkpoints: &HashMap<Slot, Checkpoint>,
    head: i64,
) -> Result<HashMap<Slot, Lag>, sqlx::Error> {
    let slots: Vec<Slot> = slots().collect();
    let places: Vec<(Partition, i64)> =
        slots.iter().map(|slot| (slot.1, checkpoints.get(slot).map_or(0, |held| held.position))).collect();
    let pending = pending(log, &places, COUNTED_EVENTS).await?;
    let lag = |Pending { events, last, age_milliseconds }| {
        // Where not all were counted, what lies beyond is taken to be spread evenly.
        let beyond = if events < COUNTED_EVENTS { 0 } else { (head - last).max(0) / i64::from(PARTITIONS) };
        Lag { events: events + beyond, age: Seconds { milliseconds: age_milliseconds } }
    };
    Ok(slots.into_iter().zip(pending).filter_map(|(slot, pending)| Some((slot, lag(pending?)))).collect())
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn times_are_written_in_seconds() {
        let written = |milliseconds| serde_json::to_string(&Seconds { milliseconds }).unwrap();
        assert_eq!([written(0), written(7), written(61_250), written(-5)], ["0.000", "0.007", "61.250", "0.000"]);
    }
}
