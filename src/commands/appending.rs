//! Appending for many who do so at the same time: their events go into one statement, and with it to the disk at once.
//!
//! Whether an append takes effect is still each one's own matter. What the log refuses as a whole (a stream has moved on,
//! a phone number is taken) each then tries by itself, so that nobody fails for another's reason; what became of a
//! statement that broke off is as unknown to each of them as it would be to one.

use futures::future::join_all;

use crate::bus::wake::Wake;
use crate::databases::connections::Connections;
use crate::gather::Gatherer;
use crate::store::append::{Append, AppendError, append, append_joined};

/// Of two statements one can be prepared while the other one waits for the disk, or for a lock.
const TURNS: usize = 2;
const JOINED_APPENDS: usize = 64;

type Outcome = Result<i64, AppendError>;

/// Appends to a log, and wakes whoever follows it.
pub(super) struct Appending {
    to: Followed,
    gatherer: Gatherer<Append, Outcome>,
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
        Self { to: Followed { log, wake }, gatherer: Gatherer::new(TURNS, JOINED_APPENDS) }
    }

    /// Appends, as [`append`] does, together with others where it can be.
    pub(super) async fn append(&self, one: Append) -> Outcome {
        if !one.can_be_joined() {
            return self.to.append_one(&one).await;
        }
        let together = |appends| self.to.clone().append_all(appends);
        let outcome = self.gatherer.ask(one, together).await;
        outcome.unwrap_or_else(|| Err(AppendError::from(sqlx::Error::WorkerCrashed)))
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

    async fn append_all(self, appends: Vec<Append>) -> Vec<Outcome> {
        if let [one] = appends.as_slice() {
            return vec![self.append_one(one).await];
        }
        match append_joined(&self.log, &appends).await {
            Ok(positions) => {
                self.wake.appended().await;
                positions.into_iter().map(Ok).collect()
            }
            Err(error) if error.is_explained() => join_all(appends.iter().map(|one| self.append_one(one))).await,
            Err(error) => appends.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}
