//! The pools of connections: the log's and the read models'.
//!
//! Requests have pools of their own, with time limits on their statements and behind a circuit breaker ([`connections`],
//! [`sentry`]): neither do they keep the workers from their connections, nor the workers them. What workers, replays and
//! commands of the command line do takes as long as it takes; but what several workers do together waits for nothing.

pub mod connections;
mod kept;
mod metrics;
mod sentry;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use log::LevelFilter;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio_util::sync::CancellationToken;

use self::connections::{Connections, Doubt, Watched};
use self::metrics::{OfPool, Waits};
use self::sentry::{LIMITS, Sentry};
use crate::breaker::Breaker;
use crate::config::Pool;
use crate::metrics::Metrics;
use crate::replay::Replay;

/// As many as it takes for three to be kept ([`kept`]).
const IMPATIENT_CONNECTIONS: u32 = 4;
const IMPATIENT_WAIT: Duration = Duration::from_secs(1);
const IMPATIENT: [(&str, &str); 2] = [("lock_timeout", "250ms"), ("statement_timeout", "5s")];
const REPLAY_CONNECTIONS: u32 = 10;
const REPLAY_IDLE: Duration = Duration::from_secs(30);
/// A connection that was used since then needs no asking whether it is still there: that would cost every request a
/// round trip.
const TRUSTED: Duration = Duration::from_secs(1);
/// After something went wrong, connections that are given back are asked for so long.
const DOUBTED_FOR: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// Connections to both databases; they may be one.
#[derive(Clone)]
pub struct Databases {
    /// Of the event log, for workers.
    pub log: PgPool,
    /// Of the read models, for workers.
    pub read_models: PgPool,
    /// For requests.
    pub requests: Requests,
    /// Of the read models' server.
    pub lives: Lives,
    /// Of the read models, for what several workers do together: none of them waits for a lock that another one needs.
    pub impatient: PgPool,
    /// Of the read models, for replays: while a swap holds the workers up, they hold all the others.
    replays: PgPool,
}

/// Connections that requests use.
#[derive(Clone)]
pub struct Requests {
    /// To the event log.
    pub log: Connections,
    /// To the read models.
    pub read_models: Connections,
    waits: Waits,
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A service.
    Serving,
    /// A command of the command line, which reads and writes much at once.
    Command,
}

/// How often a server was seen to have come to life again. What it committed without waiting for the disk may be gone
/// after a crash, so what was known of it before is not known after.
#[derive(Clone, Default)]
pub struct Lives(Arc<LivesSeen>);

#[derive(Default)]
struct LivesSeen {
    count: AtomicU64,
    last: Mutex<Option<String>>,
}

impl Lives {
    /// How often so far. Whoever holds a connection that was made since a crash, finds it counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Looks, over a new connection, whether the server is in another life. A crash of any of its processes resets its
    /// statistics; a start changes its start time.
    async fn look(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let life: String = sqlx::query_scalar(
            "select concat(pg_postmaster_start_time(), ' ', (select stats_reset from pg_stat_bgwriter))",
        )
        .fetch_one(connection)
        .await?;
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| *last != life) {
            self.0.count.fetch_add(1, Ordering::SeqCst);
        }
        *last = Some(life);
        Ok(())
    }
}

impl Databases {
    /// Connects to both.
    ///
    /// # Errors
    /// When an address is not one, or its server cannot be reached.
    pub async fn connect(
        log_url: &str,
        read_models_url: &str,
        pool: &Pool,
        purpose: Purpose,
    ) -> Result<Self, sqlx::Error> {
        // What was answered is on disk, whatever the server's own default is.
        let log = options(log_url, pool, purpose)?.options([("synchronous_commit", "on")]);
        // The read models are folded from the log and move with their checkpoints, so a crash that takes the last
        // commits of both takes nothing that is not folded again.
        let read_models = options(read_models_url, pool, purpose)?.options([("synchronous_commit", "off")]);
        // One connection first: its error says what is wrong, where a pool would only say that it waited.
        for options in [&log, &read_models] {
            options.connect().await?.close().await?;
        }
        let lives = Lives::default();
        let workers = || {
            let connections = match purpose {
                Purpose::Serving => pool.worker_connections,
                Purpose::Command => pool.connections,
            };
            bounded(pool).max_connections(connections)
        };
        let (worker_log, worker_read_models) =
            (log.clone().options(idle_limit(pool)), read_models.clone().options(idle_limit(pool)));
        Ok(Self {
            requests: Requests::new(log, read_models.clone(), pool, &lives),
            log: workers().connect_with(worker_log).await?,
            impatient: looking(bounded(pool).max_connections(IMPATIENT_CONNECTIONS), &lives)
                .acquire_timeout(IMPATIENT_WAIT)
                .connect_lazy_with(worker_read_models.clone().options(IMPATIENT)),
            read_models: looking(workers(), &lives).connect_with(worker_read_models).await?,
            lives,
            replays: bounded(pool)
                .max_connections(REPLAY_CONNECTIONS)
                .idle_timeout(REPLAY_IDLE)
                .connect_lazy_with(read_models),
        })
    }

    /// What replays with them, in this process's name.
    #[must_use]
    pub fn replay(&self) -> Replay {
        Replay { log: self.log.clone(), read_models: self.replays.clone(), process: process_name() }
    }

    /// Adds the pools to the metrics.
    pub fn register(&self, metrics: &Metrics) {
        let pools = vec![
            ("log", PgPool::clone(&self.requests.log)),
            ("read_models", PgPool::clone(&self.requests.read_models)),
            ("log_workers", self.log.clone()),
            ("read_models_workers", self.read_models.clone()),
            ("read_models_together", self.impatient.clone()),
            ("replays", self.replays.clone()),
        ];
        metrics::register(metrics, pools, &self.requests.waits);
    }

    /// Closes both, waiting for connections that are in use.
    pub async fn close(&self) {
        self.requests.log.close().await;
        self.requests.read_models.close().await;
        self.impatient.close().await;
        self.replays.close().await;
        self.read_models.close().await;
        self.log.close().await;
    }
}

impl Requests {
    /// Connections that are made as they are needed.
    fn new(log: PgConnectOptions, read_models: PgConnectOptions, pool: &Pool, lives: &Lives) -> Self {
        let waits = metrics::waits();
        let watched = |breaker, pool| Watched {
            breaker: Breaker::new(breaker, LIMITS),
            doubt: Arc::default(),
            waits: waits.get_or_create(&OfPool { pool }).clone(),
        };
        let (of_log, of_read_models) = (watched("postgres_log", "log"), watched("postgres_read_models", "read_models"));
        let limited = |options: PgConnectOptions| options.options(idle_limit(pool)).options(time_limits(pool));
        let trusting =
            |doubt: &Arc<Doubt>| doubting(trusting(bounded(pool).max_connections(pool.connections), doubt), doubt);
        let log_pool = trusting(&of_log.doubt).connect_lazy_with(limited(log));
        let read_models_pool = looking(trusting(&of_read_models.doubt), lives);
        let read_models_pool = read_models_pool.connect_lazy_with(limited(read_models));
        Self {
            log: Connections::watched(log_pool, of_log),
            read_models: Connections::watched(read_models_pool, of_read_models),
            waits,
        }
    }

    /// The breakers that requests meet.
    #[must_use]
    pub fn breakers(&self) -> Vec<Breaker> {
        self.guards().map(|(_, watched)| watched.breaker.clone()).collect()
    }

    /// Looks whether both databases answer, until stopped.
    pub async fn watch(self, stop: CancellationToken) {
        let sentries = self.guards().map(|(connections, Watched { breaker, doubt, .. })| {
            let options = connections.connect_options().as_ref().clone();
            Sentry { options, breaker: breaker.clone(), doubt: Arc::clone(doubt) }.watch(stop.clone())
        });
        let giving_back = async {
            loop {
                tokio::time::sleep(GIVE_BACK_EVERY).await;
                self.guards().for_each(|(connections, _)| connections.give_back_old());
            }
        };
        tokio::join!(join_all(sentries), stop.run_until_cancelled(giving_back));
    }

    fn guards(&self) -> impl Iterator<Item = (&Connections, &Watched)> {
        [&self.log, &self.read_models].into_iter().filter_map(|connections| Some((connections, connections.guard()?)))
    }
}

/// This process's name, as operators see it: host and process id.
#[must_use]
pub fn process_name() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}

/// Whether it may be what the statement did that broke the connection or ended the server's process. A living server
/// explains itself.
#[must_use]
pub fn is_unexplained(error: &sqlx::Error) -> bool {
    const ENDED_WITHOUT_A_WORD: [&str; 3] = ["57P01", "57P02", "XX000"];
    match error.as_database_error() {
        Some(refusal) => ENDED_WITHOUT_A_WORD.contains(&refusal.code().unwrap_or_default().as_ref()),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

fn options(url: &str, pool: &Pool, purpose: Purpose) -> Result<PgConnectOptions, sqlx::Error> {
    // That a command reads and writes much at once, and takes its time, is nothing to warn of.
    let slow = match purpose {
        Purpose::Serving => LevelFilter::Warn,
        Purpose::Command => LevelFilter::Debug,
    };
    let options = PgConnectOptions::from_str(url)?.application_name("credit-approval");
    Ok(options.log_statements(LevelFilter::Debug).log_slow_statements(slow, pool.slow_statement()))
}

fn bounded(pool: &Pool) -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(pool.acquire_timeout())
        .max_lifetime(pool.lifetime())
        .idle_timeout(pool.idle_timeout())
}

/// Each new connection looks in which life the read models' server is.
fn looking(options: PgPoolOptions, lives: &Lives) -> PgPoolOptions {
    let lives = lives.clone();
    options.after_connect(move |connection, _| {
        let lives = lives.clone();
        Box::pin(async move { lives.look(connection).await })
    })
}

/// Connections are asked whether they are still there only where there is reason to: they have been idle, or something
/// has gone wrong since they were used.
fn trusting(options: PgPoolOptions, doubt: &Arc<Doubt>) -> PgPoolOptions {
    let doubt = Arc::clone(doubt);
    options.test_before_acquire(false).before_acquire(move |connection, about| {
        let is_trusted = about.idle_for < TRUSTED && !doubt.is_about(about.idle_for);
        Box::pin(async move { if is_trusted { Ok(true) } else { still_there(connection).await } })
    })
}

/// A connection that is given back in the middle of a statement while something is wrong may never answer again, and is
/// not waited for then.
fn doubting(options: PgPoolOptions, doubt: &Arc<Doubt>) -> PgPoolOptions {
    let doubt = Arc::clone(doubt);
    options.after_release(move |connection, _| {
        let is_trusted = !doubt.is_about(DOUBTED_FOR);
        Box::pin(async move { if is_trusted { Ok(true) } else { still_there(connection).await } })
    })
}

async fn still_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let answered = tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await;
    answered.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into())).map(|()| true)
}

/// What PostgreSQL is told of transactions that nobody goes on with.
fn idle_limit(pool: &Pool) -> [(&'static str, String); 1] {
    [("idle_in_transaction_session_timeout", seconds(pool.idle_transaction_timeout))]
}

/// What PostgreSQL is told of requests' statements.
fn time_limits(pool: &Pool) -> [(&'static str, String); 2] {
    [("statement_timeout", seconds(pool.statement_timeout)), ("lock_timeout", seconds(pool.lock_timeout))]
}

fn seconds(seconds: u32) -> String {
    format!("{seconds}s")
}
