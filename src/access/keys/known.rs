//! Judging the keys that callers show, without asking the database about each request.
//!
//! What the table says of an id, that there is none included, is believed for a few seconds: so long does it take at most
//! until a revocation counts in every process. Requests that ask at the same time ask once. Whoever makes ids up fills the
//! cache with what is asked for once, which it drops first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::store::{Judged, find, note_uses};
use super::{ApiKey, KeyId};
use crate::access::Roles;
use crate::databases::connections::Connections;

/// Entries, of some hundred bytes each.
const MAX_CACHED: u64 = 10_000;
/// Lookups at once: whoever makes keys up leaves most of the connections to everybody else.
const MAX_LOOKUPS: usize = 4;
/// Keys whose uses wait to be noted, at most; beyond them a use is not noted.
const MAX_USED: usize = 10_000;
const NOTE_EVERY: Duration = Duration::from_secs(30);

/// The keys as this process knows them.
pub struct KnownKeys {
    log: Connections,
    lookups: Semaphore,
    cache: Cache<KeyId, Option<Arc<Judged>>>,
    used: Mutex<HashMap<KeyId, DateTime<Utc>>>,
}

/// What a good key allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// What its holder may do.
    pub roles: Roles,
    /// The id of the first of the keys that came to this one by being replaced.
    pub holder: String,
    /// Requests an hour, where it has a limit of its own; 0 is no limit.
    pub hourly_limit: Option<u32>,
}

/// What came of looking at a key.
#[derive(Debug)]
pub struct Verdict {
    /// What it allows, or why it does not.
    pub judged: Result<Allowed, KeyRefusal>,
    /// Whether the database was asked.
    pub is_fresh: bool,
}

/// Why a key is not taken. Only the holder of its secret is told more than that it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// There is no such key, or its secret is another one.
    #[error("holds no key that there is")]
    Unknown,
    /// It was taken back.
    #[error("holds a key that is revoked")]
    Revoked,
    /// Its time is over.
    #[error("holds a key that has expired")]
    Expired,
}

impl KnownKeys {
    /// The keys of a log's database, believed for so long.
    #[must_use]
    pub fn new(log: Connections, believed_for: Duration) -> Self {
        let cache = Cache::builder().max_capacity(MAX_CACHED).time_to_live(believed_for).build();
        Self { log, lookups: Semaphore::new(MAX_LOOKUPS), cache, used: Mutex::default() }
    }

    /// What a key allows now.
    ///
    /// # Errors
    /// When the database does not answer, and it is not known what it says.
    pub async fn judge(&self, key: &ApiKey) -> Result<Verdict, Arc<sqlx::Error>> {
        let looked_up = async {
            // Nobody closes it, so there is a turn for each.
            let _turn = self.lookups.acquire().await;
            Ok(find(&self.log, key.id()).await?.map(Arc::new))
        };
        let entry = self.cache.entry_by_ref(key.id()).or_try_insert_with(looked_up).await?;
        let now = Utc::now();
        let judged = entry.value().as_deref().map_or(Err(KeyRefusal::Unknown), |found| allowed(key, found, now));
        if judged.is_ok() {
            self.note(key.id(), now);
        }
        Ok(Verdict { judged, is_fresh: entry.is_fresh() })
    }

    fn note(&self, id: &KeyId, now: DateTime<Utc>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = used.get_mut(id) {
            *last = now;
        } else if used.len() < MAX_USED {
            used.insert(id.clone(), now);
        }
    }

    /// Notes in the table when keys were last used, every half minute and once more when stopped.
    pub async fn keep_noted(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(NOTE_EVERY)).await.is_some() {
            self.write_uses().await;
        }
        self.write_uses().await;
    }

    async fn write_uses(&self) {
        let uses: Vec<_> = self.used.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = note_uses(&self.log, &uses).await {
            tracing::warn!(%error, "it could not be noted when keys were last used");
        }
    }
}

fn allowed(key: &ApiKey, found: &Judged, now: DateTime<Utc>) -> Result<Allowed, KeyRefusal> {
    let is_its_secret: bool = key.digest().ct_eq(&found.secret_digest).into();
    if !is_its_secret {
        return Err(KeyRefusal::Unknown);
    }
    if found.is_revoked {
        return Err(KeyRefusal::Revoked);
    }
    if found.expires_at.is_some_and(|end| end <= now) {
        return Err(KeyRefusal::Expired);
    }
    Ok(Allowed { roles: found.roles, holder: found.holder.clone(), hourly_limit: found.hourly_limit })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::access::Role;

    fn stored(key: &ApiKey) -> Judged {
        let roles = Roles::of(&[Role::Channel]);
        let (secret_digest, holder) = (key.digest().to_vec(), "first".to_owned());
        Judged { secret_digest, roles, holder, hourly_limit: Some(5), expires_at: None, is_revoked: false }
    }

    #[test]
    fn a_key_is_good_with_its_secret_in_its_time() {
        let (key, other, now) = (ApiKey::draw().unwrap(), ApiKey::draw().unwrap(), Utc::now());
        let good = allowed(&key, &stored(&key), now).unwrap();
        let roles = Roles::of(&[Role::Channel]);
        assert_eq!(good, Allowed { roles, holder: "first".to_owned(), hourly_limit: Some(5) });
        assert_eq!(allowed(&key, &stored(&other), now), Err(KeyRefusal::Unknown));

        let ends = |at| Judged { expires_at: Some(at), ..stored(&key) };
        assert!(allowed(&key, &ends(now + TimeDelta::milliseconds(1)), now).is_ok());
        assert_eq!(allowed(&key, &ends(now), now), Err(KeyRefusal::Expired), "its last moment is not one of it");
        let revoked = |key: &ApiKey| Judged { is_revoked: true, ..stored(key) };
        assert_eq!(allowed(&key, &revoked(&key), now), Err(KeyRefusal::Revoked));
        assert_eq!(allowed(&key, &revoked(&other), now), Err(KeyRefusal::Unknown), "nobody else learns that much");
    }
}
