//! The certificate and its key: read at the start, and again whenever the files hold something else.
//!
//! A pair that is not good is refused at the start; later on the one before it stays, and the log says so. Both files
//! are read together, so that a key that arrives a moment after its certificate is no failure that lasts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// So often it is looked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No certificate chain and no key has more.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why HTTPS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// They are no certificate and its key.
    #[error("{} and {} are no certificate and its key", certificate.display(), key.display())]
    NoPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

/// What both files hold.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn digest(&self) -> [u8; 32] {
        let of_certificate = Sha256::digest(&self.certificate);
        Sha256::new().chain_update(of_certificate).chain_update(&self.key).finalize().into()
    }
}

/// A certificate and its key, in force.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RustlsConfig,
    /// Of what was last tried.
    digest: [u8; 32],
}

impl Tls {
    /// Reads both.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub async fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = read(certificate, key).await?;
        let digest = pair.digest();
        let config = RustlsConfig::from_pem(pair.certificate, pair.key).await;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match config {
            Ok(config) => Ok(Self { certificate, key, config, digest }),
            Err(source) => Err(TlsError::NoPair { certificate, key, source }),
        }
    }

    /// What handshakes are made with, now and after every change.
    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Looks for changes until told to stop.
    pub(super) fn keep_fresh(mut self, metrics: &Metrics, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let reloads = Family::<OfOutcome, Counter>::default();
        let [taken, refused] = ["taken", "refused"].map(|outcome| reloads.get_or_create_owned(&OfOutcome { outcome }));
        let help = "Changes of the TLS certificate's files, by what became of them";
        metrics.register(|registry| registry.register("tls_certificate_changes", help, reloads));
        async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                match self.look().await {
                    Ok(false) => {}
                    Ok(true) => {
                        taken.inc();
                        tracing::info!("new TLS connections are made with the new certificate");
                    }
                    Err(error) => {
                        refused.inc();
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(error, "the TLS certificate before the change stays in force");
                    }
                }
            }
        }
    }

    /// Takes what the files hold, if it is something else than was tried before; says whether.
    async fn look(&mut self) -> Result<bool, TlsError> {
        let pair = match read(&self.certificate, &self.key).await {
            Ok(pair) => pair,
            // Told once, and again only after the files could be read meanwhile.
            Err(_) if self.digest == UNREADABLE => return Ok(false),
            Err(error) => {
                self.digest = UNREADABLE;
                return Err(error);
            }
        };
        let digest = pair.digest();
        if self.digest == digest {
            return Ok(false);
        }
        self.digest = digest;
        let taken = self.config.reload_from_pem(pair.certificate, pair.key).await;
        taken.map(|()| true).map_err(|source| TlsError::NoPair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

/// Stands for files that could not be read.
const UNREADABLE: [u8; 32] = [0; 32];

async fn read(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    Ok(Pair { certificate: read_file(certificate).await?, key: read_file(key).await? })
}

async fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let bytes = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(unreadable(std::io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes"))));
    }
    tokio::fs::read(path).await.map_err(unreadable)
}
