//! Where everything is wired, and nothing else is: read it from top to bottom for the flow.
//!
//! databases -> schemas -> (sample data) -> bus -> relay -> projection workers -> importers -> HTTP. It stops the other
//! way round: first it says that it will, then no new requests, then the workers. The servers it works on are started
//! before it and stopped after it; probes are answered from before that until its work has ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::authenticator::Authenticator;
use crate::access::first_key::{self, FirstKeyError};
use crate::access::keys::known::KnownKeys;
use crate::access::tokens::Tokens;
use crate::breaker;
use crate::bus::wake::Wake;
use crate::bus::{self, Bus, BusError, StreamOptions};
use crate::cache::ProfileCache;
use crate::cache::follow::{follow_log, watch_read_models};
use crate::commands::{BusinessCalendar, CommandMetrics, Commands};
use crate::config::{Access, Role, Serve};
use crate::databases::connections::Connections;
use crate::databases::{Databases, Purpose, process_name};
use crate::gate::Gates;
use crate::health::{Checks, Health, Stage};
use crate::http::probes::Probes;
use crate::http::{Api, router};
use crate::import::ImportError;
use crate::import::jobs::Imports;
use crate::import::jobs::upkeep::keep_tidy;
use crate::import::jobs::work::{Importer, WORKERS};
use crate::limits::Limits;
use crate::listening::{Listening, Tls, TlsError};
use crate::metrics::Metrics;
use crate::policies::{Policies, PoliciesError};
use crate::progress::Progress;
use crate::projector::{Outdated, Projector, WorkerMetrics};
use crate::relay::lag::RelayWatch;
use crate::relay::{Relay, RelayMetrics};
use crate::replay::watch::watch;
use crate::sample;
use crate::servers::Servers;
use crate::starting::connected;
use crate::store::EventLog;
use crate::store::idempotency::keep_purged;
use crate::store::migrate::migrate;
use crate::store::settled::keep_marked;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// A command that has waited in vain for the read models is answered all the same.
const AFTER_THE_WAIT: Duration = Duration::from_secs(2);

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
    /// The certificate or its key cannot be used.
    #[error("HTTPS cannot be spoken")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The client that fetches the keys of tokens cannot be made.
    #[error("cannot use JWT_JWKS_URL")]
    Tokens(#[source] reqwest::Error),
    /// The first key could not be made.
    #[error("the first key could not be made")]
    FirstKey(#[from] FirstKeyError),
    /// The sample data could not be filled in.
    #[error("the sample data could not be filled in")]
    Sample(#[source] Box<ImportError>),
}

/// What a start needs that can be wrong in the configuration, checked before any server is started.
pub struct Prepared {
    policies: Arc<Policies>,
    listener: Option<TcpListener>,
    tls: Option<Tls>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    probes: Option<Probes>,
}

impl Prepared {
    /// Reads the policies and the certificate, takes the ports and answers probes.
    ///
    /// # Errors
    /// [`AppError`], when a policy is not valid, there is none of that name, the certificate is none, or a port cannot be
    /// had.
    pub async fn new(config: &Serve) -> Result<Self, AppError> {
        let policies = Arc::new(Policies::load(config.policies.policies_dir.as_deref(), &config.policy)?);
        let listener = match has(config, Role::Api) {
            true => Some(listen(config.http_addr).await?),
            false => None,
        };
        let tls = match config.edge.tls() {
            Some((certificate, key)) => Some(Tls::load(certificate, key).await?),
            None => None,
        };
        let (health, metrics) = (Arc::<Health>::default(), Arc::<Metrics>::default());
        let probes = config.lifecycle.health_addr.map(|address| {
            let probes = Probes::start(address, Arc::clone(&health), Arc::clone(&metrics));
            probes.map_err(|source| AppError::Listen { address, source })
        });
        Ok(Self { policies, listener, tls, health, metrics, probes: probes.transpose()? })
    }
}

/// A running service.
pub struct App {
    /// Where the API listens; `None` without the role.
    pub address: Option<SocketAddr>,
    /// Where a key with every role lies, if this service has its data to itself.
    pub key_file: Option<PathBuf>,
    databases: Databases,
    health: Arc<Health>,
    probes: Option<Probes>,
    drain_delay: Duration,
    api: Option<Listening>,
    workers: Workers,
}

impl App {
    /// Starts the roles of this process on servers that are up.
    ///
    /// # Errors
    /// [`AppError`], naming what could not be started.
    pub async fn start(config: &Serve, prepared: Prepared, servers: &Servers) -> Result<Self, AppError> {
        let Prepared { policies, listener, tls, health, metrics, probes } = prepared;
        health.reached(Stage::Databases);
        let databases = databases(config, servers).await?;
        health.reached(Stage::Schemas);
        migrate(&databases.log, &databases.read_models).await?;
        policies.must_be_unchanged(&databases.read_models).await?;
        let key_file = match servers.owns_postgres() {
            true => first_key::ensure(&databases.log, &servers.data_dir).await?,
            false => None,
        };
        let log = EventLog::new(databases.log.clone());
        let calendar = BusinessCalendar(config.store.business_utc_offset);
        if config.sample_data {
            let filled = sample::fill(&log, calendar, &servers.data_dir).await;
            filled.map_err(|error| AppError::Sample(Box::new(error)))?;
        }

        let bus = bus(config, servers, &log).await?;
        health.depends_on(Checks::of(config, &databases, bus.as_ref()));
        health.reached(Stage::CatchingUp);
        let wake = Wake::new(bus.clone());
        register_servers(&metrics, &databases, bus.as_ref());
        let progress = Arc::new(Progress::new(databases.lives.clone()));
        let workers = Workers::default();
        let (watched, read_models) = (Arc::clone(&progress), databases.read_models.clone());
        workers.spawn(|stop| async move { watched.watch_database(&read_models, stop).await });
        if let Some(bus) = &bus {
            metrics.register(|registry| bus::metrics::register(registry, bus));
            workers.spawn(|stop| wake.clone().listen(bus.clone(), stop));
        }
        if let Some(bus) = bus.clone().filter(|_| has(config, Role::Relay)) {
            let metrics = Arc::new(metrics.register(RelayMetrics::register));
            let relay = Relay { log: databases.log.clone(), bus, wake: wake.clone(), metrics };
            workers.spawn(|stop| relay.run(stop));
        }
        if has(config, Role::Projector) {
            let Databases { log, read_models, .. } = databases.clone();
            let projector = Projector {
                process: process_name(),
                log,
                read_models,
                bus: bus.clone(),
                wake: wake.clone(),
                progress: Arc::clone(&progress),
                outdated: Outdated::default(),
                metrics: Arc::new(metrics.register(WorkerMetrics::register)),
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

        let authenticator = authenticator(&config.access, &databases.requests.log, &metrics)?;
        if listener.is_some() {
            workers.spawn(|stop| Arc::clone(&authenticator).keep(stop));
        }
        let api = listener.map(|listener| {
            workers.spawn(|stop| databases.requests.clone().watch(stop));
            let counted = metrics.register(CommandMetrics::register);
            let log = EventLog::new(databases.requests.log.clone());
            let visibility_timeout = Duration::from_secs(config.visibility_timeout);
            let api = Api {
                profiles: workers.spawn_cache(config, &databases, &metrics, &wake),
                commands: Arc::new(Commands::new(log, Arc::clone(policies.in_force()), calendar, wake, counted)),
                log: databases.requests.log.clone(),
                replay: databases.replay(),
                read_models: databases.requests.read_models.clone(),
                imports: Imports::new(databases.requests.log.clone(), config.import_max_bytes),
                relay: bus.map(|bus| Arc::new(RelayWatch::new(databases.log.clone(), bus))),
                limits: workers.spawn_limits(config, &databases.log, &metrics),
                gates: Arc::new(Gates::new(&config.load, visibility_timeout + AFTER_THE_WAIT, &metrics)),
                health: Arc::clone(&health),
                metrics: Arc::clone(&metrics),
                progress,
                policies,
                backtests: Arc::default(),
                calendar,
                visibility_timeout,
                authenticator,
                anonymous_originals: config.access.opens_originals(config.http_addr),
            };
            Listening::start(listener, tls, &config.edge, &metrics, router(api, &config.edge))
        });
        let address = api.as_ref().and_then(|api| api.address);
        health.reached(Stage::Started);
        let drain_delay = Duration::from_secs(config.lifecycle.drain_delay);
        Ok(Self { address, key_file, databases, health, probes, drain_delay, api, workers })
    }

    /// Where probes are answered, beside the API; `None` where they are not.
    #[must_use]
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|probes| probes.address)
    }

    /// Says that it is about to stop, and goes on serving for as long as balancers take to notice, or until it is told
    /// to hurry. Nobody sends requests to a process without an API, so that one does not wait.
    pub async fn drain(&self, hurry: impl Future<Output = ()>) {
        self.health.reached(Stage::Stopping);
        if self.api.is_some() && !self.drain_delay.is_zero() {
            tracing::info!("going on to serve for {:?}, so that balancers notice", self.drain_delay);
            // Its end and being told to hurry are all the same.
            let _ = tokio::time::timeout(self.drain_delay, hurry).await;
        }
    }

    /// Stops in order: requests in flight are answered, then the workers end. Each step is bounded: what takes longer
    /// ends with the process, and loses nothing that was answered.
    pub async fn stop(self) {
        self.health.reached(Stage::Stopping);
        if let Some(api) = self.api {
            api.stop(DRAIN_TIMEOUT).await;
        }
        self.workers.stop().await;
        let close = async { tokio::join!(self.databases.close(), self.health.close()) };
        if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
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

    /// What is kept in memory of credit profiles, followed by all that could make it stale; `None` where nothing is.
    fn spawn_cache(
        &self,
        config: &Serve,
        databases: &Databases,
        metrics: &Metrics,
        wake: &Wake,
    ) -> Option<Arc<ProfileCache>> {
        let bytes = config.cache.cache_bytes;
        let cache = (bytes > 0).then(|| ProfileCache::new(bytes, databases.lives.clone(), metrics))?;
        let Databases { log, read_models, .. } = databases.clone();
        self.spawn(|stop| follow_log(Arc::clone(&cache), log, wake.clone(), stop));
        self.spawn(|stop| watch_read_models(Arc::clone(&cache), read_models, stop));
        Some(cache)
    }

    fn spawn_limits(&self, config: &Serve, log: &PgPool, metrics: &Metrics) -> Arc<Limits> {
        let (limits, upkeep) = Limits::new(&config.rate_limits, log, metrics);
        self.spawn(|stop| upkeep.run(stop));
        limits
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

/// What tells who callers are.
fn authenticator(access: &Access, log: &Connections, metrics: &Metrics) -> Result<Arc<Authenticator>, AppError> {
    let keys = KnownKeys::new(log.clone(), Duration::from_secs(access.key_cache_seconds));
    metrics.register(|registry| {
        let tokens = access.tokens().map(|options| Tokens::new(options, registry)).transpose();
        let tokens = tokens.map_err(AppError::Tokens)?;
        Ok(Arc::new(Authenticator::new(keys, tokens, registry)))
    })
}

/// Counts the pools and the breakers that a process has whatever it does.
fn register_servers(metrics: &Metrics, databases: &Databases, bus: Option<&Bus>) {
    databases.register(metrics);
    let mut breakers = databases.requests.breakers().to_vec();
    breakers.extend(bus.iter().flat_map(|bus| bus.breakers()));
    breaker::register(metrics, breakers);
}

/// The databases, as soon as they are there.
async fn databases(config: &Serve, servers: &Servers) -> Result<Databases, sqlx::Error> {
    let pool = &config.store.pool;
    let (log, read_models) = (&servers.database_url, &servers.read_database_url);
    let at_most = Duration::from_secs(config.lifecycle.database_wait);
    connected(at_most, async || Databases::connect(log, read_models, pool, Purpose::Serving).await).await
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
