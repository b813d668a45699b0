//! Registering a customer: the event and the phone number's reservation are one transaction.

use aggregates::customer::{Customer, CustomerCommand, CustomerEvent, RegisterCustomer};
use aggregates::ids::CustomerId;
use aggregates::money::Money;
use aggregates::person::{MonthlyIncome, PersonalData};
use chrono::Utc;

use super::{Answered, CommandError, Commands, KeyedRequest, MAX_ATTEMPTS, Origin, Rendered, handle, serialize};
use crate::store::append::Append;
use crate::store::ids::draw_customer;

/// Who wants to become a customer.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Who it is.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
}

/// A new customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Under which id.
    pub customer_id: CustomerId,
    /// Rupees.
    pub approved_limit: Money,
}

impl Commands {
    /// Registers a customer under a new id; at most once where the request has a key. `render` says what the client
    /// is told.
    ///
    /// # Errors
    /// [`CommandError`], among them [`CommandError::PhoneNumberTaken`].
    pub async fn register(
        &self,
        registration: &Registration,
        keyed: Option<&KeyedRequest>,
        origin: &Origin,
        render: impl Fn(Registered) -> Rendered,
    ) -> Result<Answered, CommandError> {
        self.once(keyed, self.append_first_event(registration, keyed, origin, render)).await
    }

    async fn append_first_event(
        &self,
        registration: &Registration,
        keyed: Option<&KeyedRequest>,
        origin: &Origin,
        render: impl Fn(Registered) -> Rendered,
    ) -> Result<Answered, CommandError> {
        for _ in 0..MAX_ATTEMPTS {
            let customer_id = draw_customer(self.log.pool()).await?;
            let (to_append, approved_limit) = first_event(customer_id, registration.clone(), origin).await?;
            let answer = render(Registered { customer_id, approved_limit }).map_err(CommandError::Render)?;
            // Nothing was appended where an import took the id meanwhile: the next one is free.
            if let Some(answered) = self.append(to_append, customer_id, keyed, answer).await? {
                return Ok(answered);
            }
        }
        Err(CommandError::Contention)
    }
}

async fn first_event(
    customer_id: CustomerId,
    registration: Registration,
    origin: &Origin,
) -> Result<(Append, Money), CommandError> {
    let Registration { personal, monthly_income } = registration;
    let phone_number = personal.phone_number.clone();
    let command = RegisterCustomer { customer_id, personal, monthly_income, at: Utc::now() };
    let mut customer = Customer::default();
    let events: Vec<CustomerEvent> = handle(&mut customer, CustomerCommand::Register(command)).await?;
    let limit = customer.profile().map_or(Money::ZERO, |profile| profile.approved_limit);
    let events = serialize::<Customer>(customer_id.get(), 0, events, &origin.metadata(customer_id))?;
    let mut append = Append::of(&events);
    append.reserve_phone_number(phone_number.as_str(), customer_id.get());
    Ok((append, limit))
}
