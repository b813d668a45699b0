//! The pools of connections: the log's and the read models'.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::LevelFilter;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::replay::Replay;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const REPLAY_CONNECTIONS: u32 = 10;
const REPLAY_IDLE: Duration = Duration::from_secs(30);

/// Which statements the log is told of as slow, and how loudly.
#[derive(Debug, Clone, Copy)]
pub struct SlowStatements {
    /// Those that take so long.
    pub at_least: Duration,
    /// At this level.
    pub level: LevelFilter,
}

/// Connections to both databases; they may be one.
#[derive(Clone)]
pub struct Databases {
    /// Of the event log.
    pub log: PgPool,
    /// Of the read models.
    pub read_models: PgPool,
    /// Of the read models' server.
    pub lives: Lives,
    /// Of the read models, for replays: while a swap holds the workers up, they hold all the others.
    replays: PgPool,
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
        connections: u32,
        slow: SlowStatements,
    ) -> Result<Self, sqlx::Error> {
        // What was answered is on disk, whatever the server's own default is.
        let log = options(log_url, slow)?.options([("synchronous_commit", "on")]);
        // The read models are folded from the log and move with their checkpoints, so a crash that takes the last
        // commits of both takes nothing that is not folded again.
        let read_models_options = options(read_models_url, slow)?.options([("synchronous_commit", "off")]);
        // One connection first: its error says what is wrong, where a pool would only say that it waited.
        for options in [&log, &read_models_options] {
            options.connect().await?.close().await?;
        }
        let pool = || PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        let replays = PgPoolOptions::new()
            .max_connections(REPLAY_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(REPLAY_IDLE)
            .connect_lazy_with(read_models_options.clone());
        let lives = Lives::default();
        let watched = lives.clone();
        let read_models = pool().after_connect(move |connection, _| {
            let watched = watched.clone();
            Box::pin(async move { watched.look(connection).await })
        });
        let read_models = read_models.connect_with(read_models_options).await?;
        Ok(Self { log: pool().connect_with(log).await?, read_models, lives, replays })
    }

    /// What replays with them, in this process's name.
    #[must_use]
    pub fn replay(&self) -> Replay {
        Replay { log: self.log.clone(), read_models: self.replays.clone(), process: process_name() }
    }

    /// Closes both, waiting for connections that are in use.
    pub async fn close(&self) {
        self.replays.close().await;
        self.read_models.close().await;
        self.log.close().await;
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

fn options(url: &str, slow: SlowStatements) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("credit-approval");
    Ok(options.log_statements(LevelFilter::Debug).log_slow_statements(slow.level, slow.at_least))
}
