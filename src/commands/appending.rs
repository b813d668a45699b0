//! Appending for many who do so at the same time: their events go into one statement, and with it to the disk at once.
//!
//! Whether an append takes effect is still each one's own matter. What the log refuses as a whole (a stream has moved on,
//! a phone number is taken) each then tries by itself, so that nobody fails for another's reason; what became of a
//! statement that broke off is as unknown to each of them as it would be to one.

use std::time::Duration;

use aggregates::ids::CustomerId;
use futures::future::join_all;

use crate::bus::wake::Wake;
use crate::databases::connections::Connections;
use crate::gather::{Gatherer, Overtaking, Unanswered};
use crate::store::append::{Append, AppendError, append, append_joined};

/// Where a statement waits for a lock, or for a slow disk, others go by.
const OVERTAKING: Overtaking = Overtaking { after: Duration::from_millis(5), at_most: 3 };
const JOINED_APPENDS: usize = 64;

type Outcome = Result<i64, AppendError>;

/// Appends to a log, and wakes whoever follows it.
pub(super) struct Appending {
    to: Followed,
    gatherer: Gatherer<(CustomerId, Append), Outcome>,
}

/// A log and its followers.
#[derive(Clone)]
struct Followed {
    log: Connections,
    wake: Wake,
}

impl Appending {
    /// On connections to the log.
    pub(super) fn new(log: Connections, wake: Wake) -> Self {
        Self { to: Followed { log, wake }, gatherer: Gatherer::new(JOINED_APPENDS).overtaking(OVERTAKING) }
    }

    /// Appends what is about a customer, as [`append`] does, together with others where it can be.
    pub(super) async fn append(&self, customer: CustomerId, one: Append) -> Outcome {
        if !one.can_be_joined() {
            return self.to.append_one(&one).await;
        }
        let together = |appends| self.to.clone().append_all(appends);
        let wait = self.to.log.options().get_acquire_timeout();
        let outcome = self.gatherer.ask((customer, one), wait, together).await;
        outcome.unwrap_or_else(|unanswered| {
            Err(AppendError::from(match unanswered {
                Unanswered::Withdrawn => sqlx::Error::PoolTimedOut,
                Unanswered::Lost => sqlx::Error::WorkerCrashed,
            }))
        })
    }
}

impl Followed {
    async fn append_one(&self, one: &Append) -> Outcome {
        let outcome = append(&self.log, one).await;
        if outcome.is_ok() {
            self.wake.appended().await;
        }
        outcome
    }

    /// Customers are appended to in the order of their ids, here as in imports, so that no two statements wait for each
    /// other.
    async fn append_all(self, appends: Vec<(CustomerId, Append)>) -> Vec<Outcome> {
        if let [(_, one)] = appends.as_slice() {
            return vec![self.append_one(one).await];
        }
        let mut places: Vec<usize> = (0..appends.len()).collect();
        places.sort_by_key(|place| appends[*place].0);
        let ordered: Vec<&Append> = places.iter().map(|place| &appends[*place].1).collect();
        let outcomes: Vec<Outcome> = match append_joined(&self.log, &ordered).await {
            Ok(positions) => {
                self.wake.appended().await;
                positions.into_iter().map(Ok).collect()
            }
            Err(error) if error.is_ones_own() => join_all(ordered.iter().map(|one| self.append_one(one))).await,
            Err(error) => ordered.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut outcomes: Vec<(usize, Outcome)> = places.into_iter().zip(outcomes).collect();
        outcomes.sort_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}
