//! Changing what a customer says of itself: the events, the new phone number's reservation and the old one's release
//! are one transaction.

use aggregates::customer::{ChangeDetails, Customer, CustomerCommand, CustomerRefusal};
use aggregates::ids::CustomerId;
use aggregates::money::Money;
use aggregates::person::{MonthlyIncome, PhoneNumber};
use projections::Partition;

use super::metrics::Kind;
use super::{Answered, ChangeRequest, CommandError, Commands, Known, Moment, Prepared, Rendered, handle, serialize};
use crate::store::LoadError;
use crate::store::append::Append;
use crate::store::reader::last_in_partition;

/// What is to be another from now on; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailsChange {
    /// Rupees a month.
    pub monthly_income: Option<MonthlyIncome>,
    /// Unique among customers.
    pub phone_number: Option<PhoneNumber>,
}

/// A customer's details after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerDetails {
    /// Whose.
    pub customer_id: CustomerId,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// Rupees.
    pub approved_limit: Money,
    /// Unique among customers.
    pub phone_number: PhoneNumber,
}

impl Commands {
    /// Changes a customer's details; at most once where the request has a key. What is so already is no change, and is
    /// answered like one. `render` says what the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such customer, [`CommandError::Stale`] and
    /// [`CommandError::PhoneNumberTaken`].
    pub async fn change_details(
        &self,
        customer_id: CustomerId,
        change: &DetailsChange,
        request: ChangeRequest<'_>,
        render: impl Fn(CustomerDetails) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let change = async {
            let _turn = self.queue.turn(customer_id).await;
            let prepare = || self.prepare_details_change(customer_id, change, request, &render);
            self.until_appended(request.keyed, prepare).await
        };
        self.once(Kind::ChangeDetails, request.keyed, change).await
    }

    async fn prepare_details_change(
        &self,
        customer_id: CustomerId,
        change: &DetailsChange,
        request: ChangeRequest<'_>,
        render: impl Fn(CustomerDetails) -> Rendered,
    ) -> Result<Option<Prepared>, CommandError> {
        let mut customer = self.log.load::<Customer>(customer_id.get()).await?;
        let before = details(customer_id, &customer.aggregate)?;
        request.expected.must_allow(customer.aggregate.revision())?;

        let Moment { at, .. } = self.now();
        let DetailsChange { monthly_income, phone_number } = change.clone();
        let command = ChangeDetails { monthly_income, phone_number, at };
        let events = handle(&mut customer.aggregate, CustomerCommand::ChangeDetails(command)).await?;
        let after = details(customer_id, &customer.aggregate)?;

        let metadata = request.origin.metadata(customer_id);
        let (version, came_to) = (customer.current_sequence, customer.current_sequence + events.len());
        let events = serialize::<Customer>(customer_id.get(), version, events, &metadata)?;
        let mut to_append = Append::of(events);
        if after.phone_number != before.phone_number {
            to_append.release_phone_number(before.phone_number.as_str(), customer_id.get());
            to_append.reserve_phone_number(after.phone_number.as_str(), customer_id.get());
        }
        if !to_append.has_events() {
            // Whoever reads on from the answer must see what it was taken from.
            let partition = Partition::of(customer_id);
            let stands_at = last_in_partition(self.log.pool(), partition, i64::MAX).await;
            to_append.stand_at(stands_at.map_err(|error| LoadError::Unavailable(Box::new(error)))?);
        }
        let answer = render(after).map_err(CommandError::Render)?.at_revision(customer.aggregate.revision());
        let known = Known { customer: customer.aggregate, version: came_to };
        Ok(Some(Prepared { customer_id, to_append, answer, known: Some(known), verdict: None }))
    }
}

fn details(customer_id: CustomerId, customer: &Customer) -> Result<CustomerDetails, CustomerRefusal> {
    let (Some(profile), Some(phone_number)) = (customer.profile(), customer.phone_number()) else {
        return Err(CustomerRefusal::NotRegistered);
    };
    Ok(CustomerDetails {
        customer_id,
        monthly_income: profile.monthly_income,
        approved_limit: profile.approved_limit,
        phone_number: phone_number.clone(),
    })
}
