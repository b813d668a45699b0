//! Where everything is wired, and nothing else is: read it from top to bottom for the flow.
//!
//! databases -> schemas -> (sample data) -> bus -> relay -> projection workers -> importers -> HTTP. It stops the other
//! way round: first no new requests, then the workers. The servers it works on are started before it and stopped after
//! it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use log::LevelFilter;
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::wake::Wake;
use crate::bus::{Bus, BusError, StreamOptions};
use crate::commands::{BusinessCalendar, Commands};
use crate::config::{Role, Serve};
use crate::databases::{Databases, process_name};
use crate::http::{Api, router};
use crate::import::ImportError;
use crate::import::jobs::Imports;
use crate::import::jobs::upkeep::keep_tidy;
use crate::import::jobs::work::{Importer, WORKERS};
use crate::metrics::Metrics;
use crate::policies::{Policies, PoliciesError};
use crate::progress::Progress;
use crate::projector::{Outdated, Projector};
use crate::relay::Relay;
use crate::replay::watch::watch;
use crate::sample;
use crate::servers::Servers;
use crate::store::EventLog;
use crate::store::idempotency::keep_purged;
use crate::store::migrate::migrate;
use crate::store::restored::is_under_way;
use crate::store::settled::keep_marked;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the service could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A database cannot be reached.
    #[error("cannot connect to PostgreSQL")]
    Database(#[from] sqlx::Error),
    /// A schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migrate(#[from] MigrateError),
    /// NATS's address is not one.
    #[error("cannot use NATS")]
    Bus(#[from] BusError),
    /// A scoring policy is not valid, or there is none of that name.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Half a log is no log.
    #[error("a restore into this store has not come to its end; run `restore` again")]
    Restoring,
    /// The sample data could not be filled in.
    #[error("the sample data could not be filled in")]
    Sample(#[source] Box<ImportError>),
}

/// What a start needs that can be wrong in the configuration, checked before any server is started.
pub struct Prepared {
    policies: Arc<Policies>,
    listener: Option<TcpListener>,
}

impl Prepared {
    /// Reads the policies and takes the port.
    ///
    /// # Errors
    /// [`AppError`], when a policy is not valid, there is none of that name, or the port cannot be had.
    pub async fn new(config: &Serve) -> Result<Self, AppError> {
        let policies = Arc::new(Policies::load(config.policies.policies_dir.as_deref(), &config.policy)?);
        let listener = match has(config, Role::Api) {
            true => Some(listen(config.http_addr).await?),
            false => None,
        };
        Ok(Self { policies, listener })
    }
}

/// A running service.
pub struct App {
    /// Where the API listens; `None` without the role.
    pub address: Option<SocketAddr>,
    databases: Databases,
    api: Option<Listening>,
    workers: Workers,
}

impl App {
    /// Starts the roles of this process on servers that are up.
    ///
    /// # Errors
    /// [`AppError`], naming what could not be started.
    pub async fn start(config: &Serve, prepared: Prepared, servers: &Servers) -> Result<Self, AppError> {
        let Prepared { policies, listener } = prepared;
        let connections = config.store.database_connections;
        let (log, read_models) = (&servers.database_url, &servers.read_database_url);
        let databases = Databases::connect(log, read_models, connections, LevelFilter::Warn).await?;
        migrate(&databases.log, &databases.read_models).await?;
        if is_under_way(&databases.log).await? {
            return Err(AppError::Restoring);
        }
        policies.must_be_unchanged(&databases.read_models).await?;
        let log = EventLog::new(databases.log.clone());
        let calendar = BusinessCalendar(config.store.business_utc_offset);
        if config.sample_data {
            let filled = sample::fill(&log, calendar, &servers.data_dir).await;
            filled.map_err(|error| AppError::Sample(Box::new(error)))?;
        }

        let bus = bus(config, servers, &log).await?;
        let wake = Wake::new(bus.clone());
        let metrics = Arc::new(Metrics::default());
        let progress = Arc::new(Progress::new(databases.lives.clone()));
        let workers = Workers::default();
        let (watched, read_models) = (Arc::clone(&progress), databases.read_models.clone());
        workers.spawn(|stop| async move { watched.watch_database(&read_models, stop).await });
        if let Some(bus) = &bus {
            workers.spawn(|stop| wake.clone().listen(bus.clone(), stop));
        }
        if let Some(bus) = bus.clone().filter(|_| has(config, Role::Relay)) {
            let relay = Relay { log: databases.log.clone(), bus, wake: wake.clone() };
            workers.spawn(|stop| relay.run(stop));
        }
        if has(config, Role::Projector) {
            let Databases { log, read_models, .. } = databases.clone();
            let projector = Projector {
                process: process_name(),
                log,
                read_models,
                bus,
                wake: wake.clone(),
                progress: Arc::clone(&progress),
                outdated: Outdated::default(),
                alone: Arc::default(),
            };
            workers.spawn(|stop| projector.run(stop));
            workers.spawn(|stop| watch(databases.replay(), stop));
            catch_up(&databases, &progress).await?;
        }
        if has(config, Role::Importer) {
            workers.spawn_importers(&databases.log, calendar, &wake);
        }
        workers.spawn_upkeep(config, &databases.log);

        let api = listener.map(|listener| {
            let api = Api {
                commands: Arc::new(Commands::new(log, Arc::clone(policies.in_force()), calendar, wake)),
                log: databases.log.clone(),
                replay: databases.replay(),
                read_models: databases.read_models.clone(),
                imports: Imports::new(databases.log.clone(), config.import_max_bytes),
                metrics,
                progress,
                policies,
                backtests: Arc::default(),
                calendar,
                visibility_timeout: Duration::from_secs(config.visibility_timeout),
            };
            Listening::start(listener, api)
        });
        let address = api.as_ref().and_then(|api| api.address);
        Ok(Self { address, databases, api, workers })
    }

    /// Stops in order: requests in flight are answered, then the workers end. Each step is bounded: what takes longer
    /// ends with the process, and loses nothing that was answered.
    pub async fn stop(self) {
        if let Some(api) = self.api {
            api.stop().await;
        }
        self.workers.stop().await;
        if tokio::time::timeout(CLOSE_TIMEOUT, self.databases.close()).await.is_err() {
            tracing::warn!("some connections were still in use after {CLOSE_TIMEOUT:?}");
        }
    }
}

/// The tasks of this process, and how to stop them.
#[derive(Default)]
struct Workers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Workers {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(CancellationToken) -> F) {
        self.tasks.spawn(task(self.stop.clone()));
    }

    fn spawn_importers(&self, log: &PgPool, calendar: BusinessCalendar, wake: &Wake) {
        for _ in 0..WORKERS {
            let importer = Importer { log: log.clone(), calendar, wake: wake.clone() };
            self.spawn(|stop| importer.run(stop));
        }
    }

    /// What is removed and noted in the course of time. Uploads that broke off are left by those who take them in.
    fn spawn_upkeep(&self, config: &Serve, log: &PgPool) {
        if has(config, Role::Api) {
            let (keys, marks) = (log.clone(), log.clone());
            self.spawn(|stop| keep_purged(keys, stop));
            self.spawn(|stop| keep_marked(marks, stop));
        }
        if has(config, Role::Api) || has(config, Role::Importer) {
            let (log, keep_days) = (log.clone(), config.import_keep_days);
            self.spawn(|stop| keep_tidy(log, keep_days, stop));
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some workers were still running after {CLOSE_TIMEOUT:?}");
        }
    }
}

/// The API on its port.
struct Listening {
    address: Option<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl Listening {
    fn start(listener: TcpListener, api: Api) -> Self {
        let address = listener.local_addr().ok();
        let stop = CancellationToken::new();
        let service = ServiceExt::<Request>::into_make_service(router(api));
        let server = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        Self { address, server: tokio::spawn(async move { server.await }), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.server).await.is_err() {
            tracing::warn!("some requests were still running after {DRAIN_TIMEOUT:?}");
        }
    }
}

/// The bus, where there is one.
async fn bus(config: &Serve, servers: &Servers, log: &EventLog) -> Result<Option<Bus>, AppError> {
    let Some(url) = &servers.nats_url else { return Ok(None) };
    let stream = StreamOptions {
        name: config.nats_stream.clone(),
        max_bytes: config.nats_stream_bytes,
        replicas: usize::from(config.nats_replicas),
        log: log.identity().await?,
    };
    Ok(Some(Bus::connect(url, stream).await?))
}

/// Lets the workers apply what the log holds before anybody asks, for a bounded time.
async fn catch_up(databases: &Databases, progress: &Progress) -> Result<(), sqlx::Error> {
    if !progress.caught_up(&databases.log, CATCH_UP_TIMEOUT).await? {
        tracing::warn!("the read models are still behind the log; queries may miss recent writes for a while");
    }
    Ok(())
}

fn has(config: &Serve, role: Role) -> bool {
    config.roles.contains(&role)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
}
