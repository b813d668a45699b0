//! One customer's rows made anew: to rebuild that customer alone, and to redrive it where it is parked.

use aggregates::ids::CustomerId;
use projections::parked::{self, Parked};
use projections::replace::{Replaced, replace};
use projections::{CustomerEvents, Partition, Projection, Target, checkpoint};

use super::{Replay, ReplayError};
use crate::store::reader::read_customer;

/// How many parked customers are redriven at once; those behind them wait for the next call.
pub const MAX_REDRIVEN: usize = 1000;

/// How long a customer waits for the partition's worker.
const LOCK_TIMEOUT_SECONDS: u32 = 5;

/// What redriving came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// Customers that go on.
    pub redriven: Vec<i64>,
    /// Customers that are parked still, with their errors as they are now.
    pub parked: Vec<Parked>,
    /// Whether there are more, which were not tried.
    pub more: bool,
}

impl Replay {
    /// Makes a customer's rows in a read model anew from all of its events up to the checkpoint. Other customers'
    /// events wait for as long as it takes. It comes to its end also when whoever asked goes away: a transaction that is
    /// given up halfway would leave its connection in the middle of it.
    ///
    /// # Errors
    /// [`ReplayError::NoSuchCustomer`] for one without events, and when a database does not answer.
    pub async fn rebuild_customer(
        &self,
        projection: Projection,
        customer: CustomerId,
    ) -> Result<Replaced, ReplayError> {
        let replay = self.clone();
        tokio::spawn(async move { replay.replace_customer(projection, customer).await }).await?
    }

    async fn replace_customer(&self, projection: Projection, customer: CustomerId) -> Result<Replaced, ReplayError> {
        let target = Target::Live(projection);
        let mut transaction = self.read_models.begin().await?;
        sqlx::query(&format!("set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")).execute(&mut *transaction).await?;
        let held = checkpoint::lock(&mut transaction, target, Partition::of(customer)).await?;
        if held.version > projection.version() {
            return Err(ReplayError::Outdated(projection));
        }
        let events = read_customer(&self.log, customer, held.position).await?;
        if events.is_empty() {
            return Err(ReplayError::NoSuchCustomer(customer.get()));
        }
        let replaced = replace(&mut transaction, target, &CustomerEvents::new(customer, &events)).await?;
        transaction.commit().await?;
        Ok(replaced)
    }

    /// Tries the parked customers of a read model again, in order of their ids: one, or all of them.
    ///
    /// # Errors
    /// When a database does not answer; customers that were redriven until then go on.
    pub async fn redrive(&self, projection: Projection, customer: Option<CustomerId>) -> Result<Redriven, ReplayError> {
        let target = Target::Live(projection);
        let (after, to) = customer.map_or((0, i64::MAX), |customer| (customer.get() - 1, customer.get()));
        let limit = i64::try_from(MAX_REDRIVEN + 1).unwrap_or(i64::MAX);
        let mut parked = parked::list(&self.read_models, target, after, to, limit).await?;
        let mut outcome = Redriven { more: parked.len() > MAX_REDRIVEN, ..Redriven::default() };
        parked.truncate(MAX_REDRIVEN);
        for one in parked {
            let Ok(customer) = CustomerId::try_from(one.customer_id) else { continue };
            match self.rebuild_customer(projection, customer).await? {
                Replaced::Done => outcome.redriven.push(customer.get()),
                Replaced::Failed(_) | Replaced::Refused(_) => {
                    let (after, to) = (customer.get() - 1, customer.get());
                    outcome.parked.extend(parked::list(&self.read_models, target, after, to, 1).await?);
                }
            }
        }
        Ok(outcome)
    }
}
