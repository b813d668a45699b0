//! What is kept of a customer, and what it weighs.

use std::sync::Arc;

use aggregates::profile::{CreditProfile, LoanRecord};

/// What the cache itself needs for an entry, its key and its place in the order of eviction: as measured by the memory that
/// a process has with half a million of them, rounded up.
const OVERHEAD_BYTES: usize = 320;

/// Between two times at which all that was kept is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era {
    /// Counts how often rows were replaced by other means than events.
    pub generation: u64,
    /// Counts how often the database came to life again.
    pub life: u64,
}

/// A profile as the read model held it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) profile: Arc<CreditProfile>,
    /// Up to where the customer's partition was applied then.
    pub(super) position: i64,
    /// When that was.
    pub(super) era: Era,
}

impl Entry {
    pub(super) fn new(mut profile: CreditProfile, position: i64, era: Era) -> Self {
        profile.loans.shrink_to_fit();
        Self { profile: Arc::new(profile), position, era }
    }

    /// What it takes of the memory that is set aside.
    pub(super) fn bytes(&self) -> u32 {
        let loans = self.profile.loans.capacity() * size_of::<LoanRecord>();
        u32::try_from(OVERHEAD_BYTES + size_of::<Self>() + size_of::<CreditProfile>() + loans).unwrap_or(u32::MAX)
    }
}
