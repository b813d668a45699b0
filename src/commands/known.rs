//! Customers as this process has last seen their streams, so that whoever decides need not read a stream again that
//! nobody else has written to.
//!
//! What is known may be behind the log, or beyond one that was taken back to an earlier day, and no guarantee rests on it:
//! what is decided from it is appended at the version that it stands at, and that fails where the stream has moved on or
//! does not go that far. A refusal appends nothing, so none is final that was not taken from the stream itself.

use std::sync::Arc;

use aggregates::customer::Customer;
use aggregates::ids::CustomerId;
use aggregates::profile::LoanRecord;
use moka::sync::Cache;

/// Of memory, for all of them.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;
/// What one takes beside its loans: itself, its phone number, its key and its place in the order of eviction.
const OVERHEAD_BYTES: usize = 640;

/// A customer as its stream tells it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) customer: Customer,
    /// How many events its stream holds.
    pub(super) version: usize,
}

impl Known {
    fn bytes(&self) -> u32 {
        let loans = self.customer.profile().map_or(0, |profile| profile.loans.capacity());
        u32::try_from(OVERHEAD_BYTES + loans * size_of::<LoanRecord>()).unwrap_or(u32::MAX)
    }
}

/// The customers that are known, those of late.
pub(super) struct KnownCustomers(Cache<i64, Arc<Known>>);

impl Default for KnownCustomers {
    fn default() -> Self {
        let weigher = |_: &i64, known: &Arc<Known>| known.bytes();
        Self(Cache::builder().max_capacity(CAPACITY_BYTES).weigher(weigher).build())
    }
}

impl KnownCustomers {
    /// As far as it is known.
    pub(super) fn get(&self, customer_id: CustomerId) -> Option<Known> {
        self.0.get(&customer_id.get()).map(|known| Known::clone(&known))
    }

    /// The stream of a customer has come to this, or to something that is not known.
    pub(super) fn now(&self, customer_id: CustomerId, known: Option<Known>) {
        match known {
            Some(known) => self.0.insert(customer_id.get(), Arc::new(known)),
            None => self.0.invalidate(&customer_id.get()),
        }
    }
}
