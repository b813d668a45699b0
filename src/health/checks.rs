//! What a process depends on, looked at over connections of its own: under a load that takes every other connection the
//! process is busy, and not unable to serve.
//!
//! Anybody may ask, as often as they like: the databases are looked at once in a while, by one who asks, for all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use projections::checkpoint::{self, Checkpoint};
use projections::{Partition, Projection, slots};
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;

use super::Failure;
use crate::bus::Bus;
use crate::config::{Role, Serve};
use crate::databases::{Databases, Requests};
use crate::store::migrate::{Schema, missing};
use crate::store::reader::{Pending, pending};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A probe comes every few seconds; a connection that was not used for so long is given back.
const IDLE: Duration = Duration::from_secs(60);
/// It is enough to know the oldest event that is not applied.
const ONE_EVENT: i64 = 1;

/// What a process depends on, by what it does.
pub struct Checks {
    log: PgPool,
    /// Where the process reads or writes read models.
    read_models: Option<PgPool>,
    /// Where it answers requests: what refuses them at once, since a database is away, says so here as soon.
    requests: Option<Requests>,
    /// Where it does nothing but publish: every other work goes on without NATS.
    bus: Option<Bus>,
    /// How far the read models may lag, in seconds.
    max_lag: Option<i64>,
    last: Mutex<Option<(Instant, Vec<Failure>)>>,
}

impl Checks {
    /// Those of a process with that configuration.
    #[must_use]
    pub fn of(config: &Serve, databases: &Databases, bus: Option<&Bus>) -> Self {
        let queries = config.has(Role::Api);
        let reads = queries || config.has(Role::Projector);
        let max_lag = i64::from(config.lifecycle.ready_max_lag);
        Self {
            log: probe(&databases.log),
            read_models: reads.then(|| probe(&databases.read_models)),
            requests: queries.then(|| databases.requests.clone()),
            bus: bus.filter(|_| config.roles == [Role::Relay]).cloned(),
            max_lag: (queries && max_lag > 0).then_some(max_lag),
            last: Mutex::default(),
        }
    }

    /// The names of those that are made.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let made = [
            ("log", true),
            ("read_models", self.read_models.is_some()),
            ("lag", self.max_lag.is_some()),
            ("nats", self.bus.is_some()),
        ];
        made.into_iter().filter_map(|(name, is_made)| is_made.then_some(name)).collect()
    }

    /// Those that do not hold, as they were seen lately.
    pub(super) async fn failures(&self) -> Vec<Failure> {
        let mut last = self.last.lock().await;
        if let Some((at, failures)) = last.as_ref()
            && at.elapsed() < LOOK_AGAIN_AFTER
        {
            return failures.clone();
        }
        let failures = self.look().await;
        *last = Some((Instant::now(), failures.clone()));
        failures
    }

    async fn look(&self) -> Vec<Failure> {
        let (log, read_models) = tokio::join!(within(self.look_at_log()), within(self.look_at_read_models()));
        let is_log_there = log.is_ok();
        let mut failures: Vec<Failure> = log.err().map(|message| Failure::new("log", message)).into_iter().collect();
        match read_models {
            Ok(checkpoints) if is_log_there => failures.extend(self.look_at_lag(&checkpoints).await),
            Ok(_) => {}
            Err(message) => failures.push(Failure::new("read_models", message)),
        }
        if self.bus.as_ref().is_some_and(|bus| !bus.is_connected()) {
            failures.push(Failure::new("nats", "is not connected"));
        }
        failures
    }

    async fn look_at_log(&self) -> Result<(), Unfit> {
        let looking = up_to_date(&self.log, Schema::Log);
        match &self.requests {
            Some(requests) => requests.log.while_there(looking).await,
            None => looking.await,
        }
    }

    /// Answers how far they have come, where this process's queries are answered from them.
    async fn look_at_read_models(&self) -> Result<Vec<(Projection, Partition, Checkpoint)>, Unfit> {
        let Some(read_models) = &self.read_models else { return Ok(Vec::new()) };
        let Some(requests) = &self.requests else {
            up_to_date(read_models, Schema::ReadModels).await?;
            return Ok(Vec::new());
        };
        requests.read_models.while_there(up_to_date(read_models, Schema::ReadModels)).await?;
        let checkpoints = checkpoint::load_all(read_models).await?;
        let unfilled: BTreeSet<&str> = checkpoints
            .iter()
            .filter(|(projection, _, checkpoint)| checkpoint.version < projection.answers_since())
            .map(|(projection, ..)| projection.name())
            .collect();
        if unfilled.is_empty() { Ok(checkpoints) } else { Err(Unfit::Unfilled(unfilled.into_iter().collect())) }
    }

    async fn look_at_lag(&self, checkpoints: &[(Projection, Partition, Checkpoint)]) -> Option<Failure> {
        let max_lag = self.max_lag?;
        let places: Vec<_> = every_place(checkpoints).collect();
        let reached: Vec<_> = places.iter().map(|(_, partition, position)| (*partition, *position)).collect();
        let pending = within(async { Ok(pending(&self.log, &reached, ONE_EVENT).await?) }).await;
        let pending = match pending {
            Ok(pending) => pending,
            Err(message) => return Some(Failure::new("log", message)),
        };
        let lags = places.iter().zip(pending).filter_map(|((projection, ..), pending)| {
            let Pending { age_milliseconds, .. } = pending?;
            Some((age_milliseconds / 1000, *projection))
        });
        let (seconds, projection) = lags.max()?;
        let message = || format!("of {projection} is {seconds} seconds, more than {max_lag}");
        (seconds > max_lag).then(|| Failure::new("lag", message()))
    }

    pub(super) async fn close(&self) {
        self.log.close().await;
        if let Some(read_models) = &self.read_models {
            read_models.close().await;
        }
    }
}

/// How far each read model has come in each partition: one without a checkpoint has applied nothing.
fn every_place(
    checkpoints: &[(Projection, Partition, Checkpoint)],
) -> impl Iterator<Item = (Projection, Partition, i64)> {
    slots().map(|(projection, partition)| {
        let held = checkpoints.iter().find(|(of, at, _)| (*of, *at) == (projection, partition));
        (projection, partition, held.map_or(0, |(.., checkpoint)| checkpoint.position))
    })
}

/// Why a database is of no use to this process.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("does not answer")]
    Silent(#[from] sqlx::Error),
    #[error("has a history of migrations that is not this version's")]
    History(#[source] MigrateError),
    #[error("lacks what migrations of this version make: {}", .0.join(", "))]
    Behind(Vec<String>),
    #[error("are being filled in for the first time: {}", .0.join(", "))]
    Unfilled(Vec<&'static str>),
}

impl From<MigrateError> for Unfit {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::Execute(error) = error { Self::Silent(error) } else { Self::History(error) }
    }
}

async fn up_to_date(pool: &PgPool, schema: Schema) -> Result<(), Unfit> {
    let missing = missing(&mut *pool.acquire().await?, schema).await?;
    let missing: Vec<String> = missing.iter().map(i64::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(Unfit::Behind(missing)) }
}

/// What is wrong in words; what it takes too long to find out does not answer.
async fn within<T>(look: impl Future<Output = Result<T, Unfit>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_WITHIN, look).await {
        Ok(outcome) => outcome.map_err(|unfit| {
            let error: &dyn std::error::Error = &unfit;
            tracing::debug!(error, "a health check failed");
            unfit.to_string()
        }),
        Err(_) => Err("does not answer".to_owned()),
    }
}

/// A connection of its own to where a pool leads.
fn probe(pool: &PgPool) -> PgPool {
    let options = pool.connect_options().as_ref().clone();
    PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER_WITHIN).idle_timeout(IDLE).connect_lazy_with(options)
}
