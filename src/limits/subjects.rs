//! What a process remembers of its callers: bounded, and locked in parts, none of them across a wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LruCache;

use super::held::Held;
use super::subject::Subject;
use super::windows::Unspent;

/// Callers that a process remembers; beyond them it forgets whom it has not heard of for longest, and asks again when it
/// does. About 20 MB.
pub const MAX_SUBJECTS: usize = SHARDS * MAX_OF_SHARD;
const SHARDS: usize = 64;
const MAX_OF_SHARD: usize = 2048;

type Shard = LruCache<Subject, Held>;

/// What a process remembers of its callers.
pub(super) struct Subjects(Vec<Mutex<Shard>>);

impl Default for Subjects {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::new(LruCache::new(MAX_OF_SHARD))).collect())
    }
}

impl Subjects {
    /// Does something with what is held of a subject; of a new one that is nothing.
    pub(super) fn with<T>(&self, subject: Subject, act: impl FnOnce(&mut Held) -> T) -> T {
        let mut shard = lock(&self.0[subject.spread() % SHARDS]);
        if let Some(held) = shard.get_mut(&subject) {
            return act(held);
        }
        let mut held = Held::default();
        let outcome = act(&mut held);
        shard.insert(subject, held);
        outcome
    }

    /// Takes what was leased and not used for so long, of so many subjects at most.
    pub(super) fn unspent(&self, unused_for: Duration, at_most: usize) -> Vec<(Subject, Unspent)> {
        let now = Instant::now();
        let mut all = Vec::new();
        for shard in &self.0 {
            let mut shard = lock(shard);
            let unspent =
                shard.iter_mut().filter_map(|(subject, held)| Some((*subject, held.give_back(now, unused_for)?)));
            all.extend(unspent.take(at_most - all.len()));
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| lock(shard).len()).sum()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
