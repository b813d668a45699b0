//! What is looked at before any server is started, and every reason for which a start can fail.

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::migrate::MigrateError;
use tokio::net::TcpListener;

use crate::access::first_key::FirstKeyError;
use crate::bus::BusError;
use crate::config::{Role, Serve};
use crate::health::Health;
use crate::http::probes::Probes;
use crate::import::ImportError;
use crate::listening::{Tls, TlsError};
use crate::metrics::Metrics;
use crate::policies::{Policies, PoliciesError};

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
    /// Half a log is no log.
    #[error("a restore into this store has not come to its end; run `restore` again")]
    Restoring,
    /// The sample data could not be filled in.
    #[error("the sample data could not be filled in")]
    Sample(#[source] Box<ImportError>),
}

/// What a start needs that can be wrong in the configuration, checked before any server is started.
pub struct Prepared {
    pub(super) policies: Arc<Policies>,
    pub(super) listener: Option<TcpListener>,
    pub(super) tls: Option<Tls>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probes: Option<Probes>,
}

impl Prepared {
    /// Reads the policies and the certificate, takes the ports and answers probes.
    ///
    /// # Errors
    /// [`AppError`], when a policy is not valid, there is none of that name, the certificate is none, or a port cannot be
    /// had.
    pub async fn new(config: &Serve) -> Result<Self, AppError> {
        let policies = Arc::new(Policies::load(config.policies.policies_dir.as_deref(), &config.policy)?);
        let listener = match config.has(Role::Api) {
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

async fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
}
