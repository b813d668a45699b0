//! Credit profiles kept in this process, so that asking again what a customer is good for takes no database query.
//!
//! An entry is what the read model held once its partition was applied up to a position ([`entry`]). Whatever is appended
//! to the log is followed here too ([`follow`]), gap-proof as everywhere, and an event about a customer whose entry ends
//! before it removes that entry. What is read while this happens is kept only if it ends at or behind the last event that
//! is known of the customer ([`touched`]); so an entry that is there holds all that the log tells of its customer up to
//! where the log was followed, [`ProfileCache::proven`]. From that follows what it may answer:
//!
//! - A request with a consistency token, if the token's position is not beyond the entry's or the proven one.
//! - Any request, if the same is true of all that this process has answered commands with: its own clients read their
//!   writes, token or not. Other processes' writes are at most [`LOG_SEEN_WITHIN`] away from being seen, usually a few
//!   milliseconds.
//! - Nothing while the log or the read models were not seen for longer than that, and nothing that was kept before rows
//!   were replaced by other means than events (rebuilds, redrives), or in an earlier life of the database.
//!
//! Reads that find nothing are not combined: one is a look at a primary key, there is one for a customer after each of its
//! events at most, and whoever shared one that began before its own request could miss what it has written before.

pub mod entry;
pub mod follow;
mod metrics;
#[cfg(test)]
mod tests;
mod touched;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use projections::Partition;
use projections::credit_profiles::Found;

use self::entry::{Entry, Era};
use self::metrics::{Bypass, Counts};
use self::touched::Touches;
use crate::commands::LogPlace;
use crate::databases::Lives;
use crate::metrics::Metrics;
use crate::store::reader::Touched;

/// How long after the log was last seen to its end entries may answer.
pub const LOG_SEEN_WITHIN: Duration = Duration::from_millis(500);
/// How long after the read models were last seen to be the same tables entries may answer.
pub const READ_MODELS_SEEN_WITHIN: Duration = Duration::from_secs(2);

/// Credit profiles by customer.
pub struct ProfileCache {
    entries: Cache<i64, Entry>,
    capacity_bytes: u64,
    /// What is known of who was touched, by partition. Whoever changes entries because of it, or adds one, holds it.
    touches: Vec<Mutex<Touches>>,
    /// Every event up to here was followed.
    proven: AtomicI64,
    /// The last position, by partition, that this process has answered with.
    answered: Vec<AtomicI64>,
    log: Seen,
    read_models: Seen,
    generation: AtomicU64,
    lives: Lives,
    counts: Counts,
}

impl ProfileCache {
    /// An empty one that nothing can be kept in before the log is followed.
    #[must_use]
    pub fn new(capacity_bytes: u64, lives: Lives, metrics: &Metrics) -> Arc<Self> {
        let counts = Counts::register(metrics);
        let evictions = counts.evictions.clone();
        let entries = Cache::builder()
            .max_capacity(capacity_bytes)
            .weigher(|_, entry: &Entry| entry.bytes())
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evictions.inc();
                }
            })
            .build();
        let cache = Arc::new(Self {
            entries,
            capacity_bytes,
            touches: Partition::all().map(|_| Mutex::new(Touches::unknown())).collect(),
            proven: AtomicI64::new(0),
            answered: Partition::all().map(|_| AtomicI64::new(0)).collect(),
            log: Seen::never(),
            read_models: Seen::never(),
            generation: AtomicU64::new(0),
            lives,
            counts,
        });
        metrics::register_sizes(metrics, &cache);
        cache
    }

    /// The profile of a customer, if it is here and as fresh as the request's token and all that this process has
    /// answered ask for.
    #[must_use]
    pub fn get(&self, customer: CustomerId, token: Option<LogPlace>) -> Option<Arc<CreditProfile>> {
        let era = self.era();
        // Before the entry is: what was followed by then has removed it if it had to.
        let proven = self.proven.load(Ordering::SeqCst);
        if !self.log.is_within(LOG_SEEN_WITHIN) || !self.read_models.is_within(READ_MODELS_SEEN_WITHIN) {
            return self.counts.bypassed(Bypass::Unseen);
        }
        let Some(entry) = self.entries.get(&customer.get()).filter(|entry| entry.era == era) else {
            self.counts.misses.inc();
            return None;
        };
        let partition = Partition::of(customer);
        let answered = LogPlace { partition, position: self.answered[partition.index()].load(Ordering::SeqCst) };
        let covers = |place: LogPlace| {
            place.position <= proven || (place.partition == partition && place.position <= entry.position)
        };
        if token.is_some_and(|token| !covers(token)) {
            return self.counts.bypassed(Bypass::Token);
        }
        if !covers(answered) {
            return self.counts.bypassed(Bypass::Answered);
        }
        self.counts.hits.inc();
        Some(entry.profile)
    }

    /// In which era something is that is read from now on.
    #[must_use]
    pub fn era(&self) -> Era {
        Era { generation: self.generation.load(Ordering::SeqCst), life: self.lives.count() }
    }

    /// Keeps what the read model held, read in `era`, if nothing is known that it lacks. Answers the profile.
    pub fn keep(&self, customer: CustomerId, era: Era, found: Found) -> Arc<CreditProfile> {
        let Found { profile, position, parked } = found;
        let entry = Entry::new(profile, position, era);
        let profile = Arc::clone(&entry.profile);
        let touches = self.touches(Partition::of(customer));
        // Where somebody is parked, a position says nothing of what was applied.
        let is_whole = parked == 0 && position >= touches.last(customer) && era == self.era();
        let is_newer = |held: Entry| held.era != era || held.position < position;
        if is_whole && self.entries.get(&customer.get()).is_none_or(is_newer) {
            self.entries.insert(customer.get(), entry);
        }
        profile
    }

    /// This process answers a command, or answers it again: from now on its clients are to see what it did.
    pub fn answered(&self, place: LogPlace) {
        self.answered[place.partition.index()].fetch_max(place.position, Ordering::SeqCst);
    }

    /// Rows were replaced by other means than events: nothing that was read before answers any more.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        // Their memory; that they do not answer is sure already.
        self.entries.invalidate_all();
        self.counts.resets.inc();
    }

    /// The log is no longer followed.
    pub fn lose_log(&self) {
        self.log.forget();
        for partition in Partition::all() {
            *self.touches(partition) = Touches::unknown();
        }
        self.proven.store(0, Ordering::SeqCst);
        self.forget();
    }

    /// The read models are no longer watched.
    pub fn lose_read_models(&self) {
        self.read_models.forget();
        self.forget();
    }

    /// The log is followed from a position on, before which nothing can appear any more; `last` has the last one of each
    /// partition up to there.
    pub fn follow_from(&self, position: i64, last: &[(Partition, i64)]) {
        for (partition, last) in last {
            *self.touches(*partition) = Touches::after(*last);
        }
        self.proven.store(position, Ordering::SeqCst);
    }

    /// What was appended since, in order, up to a position behind which nothing is missing.
    pub fn follow(&self, touched: &[Touched], up_to: i64) {
        for Touched { position, customer_id } in touched {
            // Whoever has no such id has no profile.
            let Ok(customer) = CustomerId::try_from(*customer_id) else { continue };
            let mut touches = self.touches(Partition::of(customer));
            touches.note(customer, *position);
            if self.entries.get(customer_id).is_some_and(|entry| entry.position < *position) {
                self.entries.invalidate(customer_id);
                self.counts.invalidations.inc();
            }
        }
        self.proven.store(up_to, Ordering::SeqCst);
    }

    /// The log was followed to the end that it had at a moment.
    pub fn saw_log(&self, at: Instant) {
        self.log.note(at);
    }

    /// The read models were the same tables at a moment.
    pub fn saw_read_models(&self, at: Instant) {
        self.read_models.note(at);
    }

    /// Every event up to here was followed.
    #[must_use]
    pub fn proven(&self) -> i64 {
        self.proven.load(Ordering::SeqCst)
    }

    fn touches(&self, partition: Partition) -> MutexGuard<'_, Touches> {
        self.touches[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When something was last seen.
struct Seen {
    since: Instant,
    /// Nanoseconds since `since`; 0 for never.
    at: AtomicU64,
}

impl Seen {
    fn never() -> Self {
        Self { since: Instant::now(), at: AtomicU64::new(0) }
    }

    fn note(&self, at: Instant) {
        let nanoseconds = u64::try_from(at.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX);
        self.at.store(nanoseconds.max(1), Ordering::SeqCst);
    }

    fn forget(&self) {
        self.at.store(0, Ordering::SeqCst);
    }

    /// How long ago; `None` for never.
    fn age(&self) -> Option<Duration> {
        let at = self.at.load(Ordering::SeqCst);
        (at > 0).then(|| self.since.elapsed().saturating_sub(Duration::from_nanos(at)))
    }

    fn is_within(&self, at_most: Duration) -> bool {
        self.age().is_some_and(|age| age <= at_most)
    }
}
