//! Where everything is wired, and nothing else is: read it from top to bottom for the flow.
//!
//! databases -> schemas -> (sample data) -> bus -> relay -> projection workers -> importers -> HTTP. It stops the other
//! way round: first it says that it will, then no new requests, then the workers. The servers it works on are started
//! before it and stopped after it; probes are answered from before that until its work has ended.

mod prepared;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::access::authenticator::Authenticator;
use crate::access::first_key;
use crate::access::keys::known::KnownKeys;
use crate::access::tokens::Tokens;
use crate::breaker;
use crate::bus::wake::Wake;
use crate::bus::{self, Bus, StreamOptions};
use crate::cache::ProfileCache;
use crate::cache::follow::{follow_log, watch_read_models};
use crate::commands::{BusinessCalendar, CommandMetrics, Commands};
use crate::config::{Role, Serve};
use crate::databases::{Databases, Purpose, process_name};
use crate::gate::Gates;
use crate::health::{Checks, Health, Stage};
use crate::http::probes::Probes;
use crate::http::{Api, Parts, router};
use crate::import::jobs::Imports;
use crate::import::jobs::upkeep::keep_tidy;
use crate::import::jobs::work::{Importer, WORKERS};
use crate::limits::Limits;
use crate::listening::{Listening, Tls};
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::progress::Progress;
use crate::projector::{Outdated, Projector, Together, WorkerMetrics};
use crate::relay::lag::RelayWatch;
use crate::relay::{Relay, RelayMetrics};
use crate::replay::watch::watch;
use crate::sample;
use crate::servers::Servers;
use crate::starting::connected;
use crate::store::EventLog;
use crate::store::idempotency::keep_purged;
use crate::store::migrate::migrate;
use crate::store::restored::is_under_way;
use crate::store::settled::keep_marked;

pub use self::prepared::{AppError, Prepared};
use self::workers::Workers;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// A command that has waited in vain for the read models is answered all the same.
const AFTER_THE_WAIT: Duration = Duration::from_secs(2);

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
        let key_file = prepare_data(config, servers, &databases, &policies).await?;

        let bus = bus(config, servers, &databases).await?;
        health.depends_on(Checks::of(config, &databases, bus.as_ref()));
        health.reached(Stage::CatchingUp);
        let wake = Wake::new(bus.clone());
        let progress = Arc::new(Progress::new(databases.lives.clone()));
        let calendar = BusinessCalendar(config.store.business_utc_offset);
        let workers = Workers::default();
        let wiring =
            Wiring { config, databases: &databases, bus, wake, progress, metrics, calendar, workers: &workers };
        wiring.watch_servers();
        wiring.start_relay();
        wiring.start_projector().await?;
        wiring.start_importers();
        wiring.start_upkeep();
        let api = match listener {
            Some(listener) => Some(wiring.start_api(listener, tls, policies, &health)?),
            None => None,
        };
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
        self.workers.stop(CLOSE_TIMEOUT).await;
        let close = async { tokio::join!(self.databases.close(), self.health.close()) };
        if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
            tracing::warn!("some connections were still in use after {CLOSE_TIMEOUT:?}");
        }
    }
}

/// The databases, as soon as they are there.
async fn databases(config: &Serve, servers: &Servers) -> Result<Databases, sqlx::Error> {
    let pool = &config.store.pool;
    let (log, read_models) = (&servers.database_url, &servers.read_database_url);
    let at_most = Duration::from_secs(config.lifecycle.database_wait);
    connected(at_most, async || Databases::connect(log, read_models, pool, Purpose::Serving).await).await
}

/// Schemas, policies, the first key of a service that has its data to itself, and sample data where it is asked for.
/// Answers where the key lies.
async fn prepare_data(
    config: &Serve,
    servers: &Servers,
    databases: &Databases,
    policies: &Policies,
) -> Result<Option<PathBuf>, AppError> {
    migrate(&databases.log, &databases.read_models).await?;
    if is_under_way(&databases.log).await? {
        return Err(AppError::Restoring);
    }
    policies.must_be_unchanged(&databases.read_models).await?;
    let key_file = match servers.owns_postgres() {
        true => first_key::ensure(&databases.log, &servers.data_dir).await?,
        false => None,
    };
    if config.sample_data {
        let calendar = BusinessCalendar(config.store.business_utc_offset);
        let filled = sample::fill(&EventLog::new(databases.log.clone()), calendar, &servers.data_dir).await;
        filled.map_err(|error| AppError::Sample(Box::new(error)))?;
    }
    Ok(key_file)
}

/// The bus, where there is one.
async fn bus(config: &Serve, servers: &Servers, databases: &Databases) -> Result<Option<Bus>, AppError> {
    let Some(url) = &servers.nats_url else { return Ok(None) };
    let stream = StreamOptions {
        name: config.nats_stream.clone(),
        max_bytes: config.nats_stream_bytes,
        replicas: usize::from(config.nats_replicas),
        log: EventLog::new(databases.log.clone()).identity().await?,
    };
    Ok(Some(Bus::connect(url, stream).await?))
}

/// What the roles of a process are wired to.
struct Wiring<'a> {
    config: &'a Serve,
    databases: &'a Databases,
    bus: Option<Bus>,
    wake: Wake,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    calendar: BusinessCalendar,
    workers: &'a Workers,
}

impl Wiring<'_> {
    /// What every process has whatever it does: an eye on the read models and an ear on the bus; pools and breakers.
    fn watch_servers(&self) {
        let (progress, read_models) = (Arc::clone(&self.progress), self.databases.read_models.clone());
        self.workers.spawn(|stop| async move { progress.watch_database(&read_models, stop).await });
        if let Some(bus) = &self.bus {
            self.metrics.register(|registry| bus::metrics::register(registry, bus));
            self.workers.spawn(|stop| self.wake.clone().listen(bus.clone(), stop));
        }
        self.databases.register(&self.metrics);
        let mut breakers = self.databases.requests.breakers();
        breakers.extend(self.bus.iter().flat_map(|bus| bus.breakers()));
        breaker::register(&self.metrics, breakers);
    }

    fn start_relay(&self) {
        let Some(bus) = self.bus.clone().filter(|_| self.config.has(Role::Relay)) else { return };
        let (log, wake) = (self.databases.log.clone(), self.wake.clone());
        let metrics = Arc::new(self.metrics.register(RelayMetrics::register));
        let relay = Relay { log, bus, wake, metrics };
        self.workers.spawn(|stop| relay.run(stop));
    }

    /// Returns when the workers have applied what the log holds, or have had a while for it.
    async fn start_projector(&self) -> Result<(), sqlx::Error> {
        if !self.config.has(Role::Projector) {
            return Ok(());
        }
        let Databases { log, read_models, .. } = self.databases.clone();
        let projector = Projector {
            process: process_name(),
            log,
            together: Arc::new(Together::new(self.databases.impatient.clone())),
            read_models,
            bus: self.bus.clone(),
            wake: self.wake.clone(),
            progress: Arc::clone(&self.progress),
            outdated: Outdated::default(),
            metrics: Arc::new(self.metrics.register(WorkerMetrics::register)),
            alone: Arc::default(),
        };
        self.workers.spawn(|stop| projector.run(stop));
        self.workers.spawn(|stop| watch(self.databases.replay(), stop));
        if !self.progress.caught_up(&self.databases.log, CATCH_UP_TIMEOUT).await? {
            tracing::warn!("the read models are still behind the log; queries may miss recent writes for a while");
        }
        Ok(())
    }

    fn start_importers(&self) {
        let count = if self.config.has(Role::Importer) { WORKERS } else { 0 };
        for _ in 0..count {
            let (log, wake) = (self.databases.log.clone(), self.wake.clone());
            let importer = Importer { log, calendar: self.calendar, wake };
            self.workers.spawn(|stop| importer.run(stop));
        }
    }

    /// What is removed and noted in the course of time. Uploads that broke off are left by those who take them in.
    fn start_upkeep(&self) {
        let log = &self.databases.log;
        if self.config.has(Role::Api) {
            self.workers.spawn(|stop| keep_purged(log.clone(), stop));
            self.workers.spawn(|stop| keep_marked(log.clone(), stop));
        }
        if self.config.has(Role::Api) || self.config.has(Role::Importer) {
            self.workers.spawn(|stop| keep_tidy(log.clone(), self.config.import_keep_days, stop));
        }
    }

    fn start_api(
        &self,
        listener: TcpListener,
        tls: Option<Tls>,
        policies: Arc<Policies>,
        health: &Arc<Health>,
    ) -> Result<Listening, AppError> {
        let Self { config, metrics, calendar, .. } = self;
        let requests = &self.databases.requests;
        self.workers.spawn(|stop| requests.clone().watch(stop));
        let (log, policy) = (EventLog::new(requests.log.clone()), Arc::clone(policies.in_force()));
        let counted = metrics.register(CommandMetrics::register);
        let commands = Commands::new(log, policy, *calendar, self.wake.clone(), counted);
        let visibility_timeout = Duration::from_secs(config.visibility_timeout);
        let api = Parts {
            commands: Arc::new(commands),
            log: requests.log.clone(),
            replay: self.databases.replay(),
            read_models: requests.read_models.clone(),
            profiles: self.profile_cache(),
            imports: Imports::new(requests.log.clone(), config.import_max_bytes),
            relay: self.bus.clone().map(|bus| Arc::new(RelayWatch::new(self.databases.log.clone(), bus))),
            limits: self.rate_limits(),
            gates: Arc::new(Gates::new(&config.load, visibility_timeout + AFTER_THE_WAIT, metrics)),
            health: Arc::clone(health),
            metrics: Arc::clone(metrics),
            progress: Arc::clone(&self.progress),
            policies,
            backtests: Arc::default(),
            calendar: *calendar,
            visibility_timeout,
            authenticator: self.authenticator()?,
            anonymous_originals: config.access.opens_originals(config.http_addr),
        };
        Ok(Listening::start(listener, tls, &config.edge, metrics, router(Api::from(api), &config.edge)))
    }

    /// What tells who callers are.
    fn authenticator(&self) -> Result<Arc<Authenticator>, AppError> {
        let access = &self.config.access;
        let keys = KnownKeys::new(self.databases.requests.log.clone(), Duration::from_secs(access.key_cache_seconds));
        let authenticator = self.metrics.register(|registry| {
            let tokens = access.tokens().map(|options| Tokens::new(options, registry)).transpose();
            let tokens = tokens.map_err(AppError::Tokens)?;
            Ok::<_, AppError>(Arc::new(Authenticator::new(keys, tokens, registry)))
        })?;
        self.workers.spawn(|stop| Arc::clone(&authenticator).keep(stop));
        Ok(authenticator)
    }

    fn rate_limits(&self) -> Arc<Limits> {
        let (limits, upkeep) = Limits::new(&self.config.rate_limits, &self.databases.log, &self.metrics);
        self.workers.spawn(|stop| upkeep.run(stop));
        limits
    }

    /// What is kept in memory of credit profiles, followed by all that could make it stale; `None` where nothing is.
    fn profile_cache(&self) -> Option<Arc<ProfileCache>> {
        let bytes = self.config.cache.cache_bytes;
        let Databases { log, read_models, lives, .. } = self.databases.clone();
        let cache = (bytes > 0).then(|| ProfileCache::new(bytes, lives, &self.metrics))?;
        self.workers.spawn(|stop| follow_log(Arc::clone(&cache), log, self.wake.clone(), stop));
        self.workers.spawn(|stop| watch_read_models(Arc::clone(&cache), read_models, stop));
        Some(cache)
    }
}
