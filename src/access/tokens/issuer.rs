//! Where an issuer's keys come from, and the latest of them.
//!
//! They are fetched again every few minutes, and at once when a token names a key that is not among them, which is how an
//! issuer's new key becomes known. The latter happens rarely enough that nobody drives it by making key ids up. While
//! the issuer is away the keys that were fetched last go on serving.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::key_set::{KeySet, KeySetError};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;
/// Between two fetches because of keys that are not known.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// After a fetch that failed it is tried again sooner.
const RETRY_AFTER: Duration = Duration::from_secs(15);

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At the issuer's.
    Url(Url),
    /// In a file, which others keep up to date.
    File(PathBuf),
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The issuer did not answer, or not with 200.
    #[error("the issuer did not answer")]
    Http(#[from] reqwest::Error),
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    /// There is more than a set of keys could be.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// What came is no set of keys.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// How often keys were fetched.
#[derive(Debug, Clone, Default)]
pub(super) struct Fetches {
    pub(super) taken: Counter,
    pub(super) failed: Counter,
}

/// An issuer's keys as they were fetched last.
pub(super) struct Issuer {
    source: Source,
    http: Client,
    /// `None` until they were fetched for the first time.
    keys: RwLock<Option<Arc<KeySet>>>,
    /// When they were last fetched because of a key that was not known. Who fetches holds it.
    asked: Mutex<Option<Instant>>,
    fetches: Fetches,
}

impl Issuer {
    pub(super) fn new(source: Source, fetches: Fetches) -> Result<Self, reqwest::Error> {
        let client = Client::builder().connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN).redirect(Policy::none());
        let is_plain = matches!(&source, Source::Url(url) if url.scheme() == "http");
        // Plain HTTP is taken from this machine alone, so it must not pass another one.
        let client = if is_plain { client.no_proxy() } else { client.https_only(true) };
        Ok(Self { source, http: client.build()?, keys: RwLock::default(), asked: Mutex::default(), fetches })
    }

    /// The keys, if there ever were any.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches because of a key that is not known, unless that was done a moment ago. Who comes while keys are fetched
    /// waits for them, and looks at them first.
    pub(super) async fn look_again(&self, is_known: impl Fn(&KeySet) -> bool) {
        let mut asked = self.asked.lock().await;
        if self.keys().is_some_and(|keys| is_known(&keys)) {
            return;
        }
        if asked.is_none_or(|last| last.elapsed() >= UNKNOWN_KEY_PAUSE) {
            self.refresh().await;
            *asked = Some(Instant::now());
        }
    }

    /// Fetches now and every so often, until stopped.
    pub(super) async fn keep_fresh(&self, every: Duration, stop: CancellationToken) {
        let fetching = async {
            loop {
                let asked = self.asked.lock().await;
                let is_taken = self.refresh().await;
                drop(asked);
                tokio::time::sleep(if is_taken { every } else { RETRY_AFTER.min(every) }).await;
            }
        };
        stop.run_until_cancelled(fetching).await;
    }

    async fn refresh(&self) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                self.fetches.taken.inc();
                true
            }
            Err(error) => {
                self.fetches.failed.inc();
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "the keys of JWT_ISSUER could not be fetched; those that are known go on serving"
                );
                false
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let text = match &self.source {
            Source::Url(url) => self.download(url).await?,
            Source::File(path) => {
                if tokio::fs::metadata(path).await?.len() > MAX_BYTES as u64 {
                    return Err(FetchError::TooLong);
                }
                tokio::fs::read(path).await?
            }
        };
        Ok(KeySet::parse(&text)?)
    }

    async fn download(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let mut response = self.http.get(url.clone()).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if text.len() + piece.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }
}
