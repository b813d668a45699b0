//! One at a time for each customer within this process, first come first served, so that concurrent applications
//! wait for each other instead of conflicting. Other processes are met by optimistic concurrency.

use aggregates::ids::CustomerId;
use tokio::sync::{Mutex, MutexGuard};

/// Enough that two customers rarely share one; a shared one costs waiting, nothing else.
const LANES: u16 = 4096;

/// A fixed number of lanes; a customer always uses the same one.
pub(crate) struct CustomerQueue {
    lanes: Vec<Mutex<()>>,
}

impl Default for CustomerQueue {
    fn default() -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::new(())).collect() }
    }
}

impl CustomerQueue {
    /// Waits for the customer's turn; it lasts until the guard is dropped.
    pub(crate) async fn turn(&self, customer: CustomerId) -> MutexGuard<'_, ()> {
        // The remainder is below LANES, so it fits.
        let lane = usize::try_from(customer.get() % i64::from(LANES)).unwrap_or(0);
        self.lanes[lane].lock().await
    }
}
