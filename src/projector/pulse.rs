//! A worker's pulse: when it last went round, and how much it has applied. A worker that hangs is seen by it, even while
//! there is nothing to apply.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shared by a worker and whoever watches over it.
pub struct Pulse {
    began: Instant,
    /// Milliseconds from the beginning to the last beat, counted from 1; 0 before the first.
    beat: AtomicU64,
    applied: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { began: Instant::now(), beat: AtomicU64::new(0), applied: AtomicU64::new(0) }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Pulse {
    /// The worker goes round.
    pub(crate) fn beat(&self) {
        self.beat.store(milliseconds(self.began.elapsed()) + 1, Ordering::Relaxed);
    }

    /// The worker has applied events.
    pub(crate) fn applied(&self, events: usize) {
        self.applied.fetch_add(u64::try_from(events).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.beat();
    }

    /// How long ago it last went round; `None` when it never did.
    pub(crate) fn age(&self) -> Option<Duration> {
        let beat = self.beat.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(beat)))
    }

    /// Events applied so far.
    pub(crate) fn total(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }
}

/// Events a second between two looks.
pub(crate) struct Rate {
    total: u64,
    at: Instant,
}

impl Rate {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self { total: 0, at: Instant::now() }
    }

    /// Since the last look.
    pub(crate) fn per_second(&mut self, total: u64) -> i32 {
        let elapsed = milliseconds(self.at.elapsed()).max(1);
        let events = total.saturating_sub(self.total);
        (self.total, self.at) = (total, Instant::now());
        i32::try_from(events.saturating_mul(1000) / elapsed).unwrap_or(i32::MAX)
    }
}
