//! Registering a customer: the event and the phone number's reservation are one transaction.

use aggregates::customer::{Customer, CustomerCommand, CustomerEvent, RegisterCustomer};
use aggregates::ids::CustomerId;
use aggregates::money::Money;
use aggregates::person::{MonthlyIncome, PersonalData};
use chrono::Utc;

use super::metrics::Kind;
use super::{Answered, CommandError, Commands, KeyedRequest, Known, Origin, Prepared, Rendered, handle, serialize};
use crate::store::append::Append;

/// What whoever has just become a customer stands at.
const FIRST_REVISION: u32 = 1;

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
        let prepare = || self.prepare_registration(registration, origin, &render);
        self.once(Kind::Register, keyed, self.until_appended(keyed, prepare)).await
    }

    /// Nothing is appended where an import takes the id meanwhile: then the next one is free.
    async fn prepare_registration(
        &self,
        registration: &Registration,
        origin: &Origin,
        render: impl Fn(Registered) -> Rendered,
    ) -> Result<Option<Prepared>, CommandError> {
        let customer_id = self.draws.customer().await?;
        let (to_append, known, approved_limit) = first_event(customer_id, registration.clone(), origin).await?;
        let answer = render(Registered { customer_id, approved_limit }).map_err(CommandError::Render)?;
        let answer = answer.at_revision(FIRST_REVISION);
        Ok(Some(Prepared { customer_id, to_append, answer, known: Some(known), verdict: None }))
    }
}

async fn first_event(
    customer_id: CustomerId,
    registration: Registration,
    origin: &Origin,
) -> Result<(Append, Known, Money), CommandError> {
    let Registration { personal, monthly_income } = registration;
    let phone_number = personal.phone_number.clone();
    let command = RegisterCustomer { customer_id, personal, monthly_income, at: Utc::now() };
    let mut customer = Customer::default();
    let events: Vec<CustomerEvent> = handle(&mut customer, CustomerCommand::Register(command)).await?;
    let limit = customer.profile().map_or(Money::ZERO, |profile| profile.approved_limit);
    let known = Known { customer, version: events.len() };
    let events = serialize::<Customer>(customer_id.get(), 0, events, &origin.metadata(customer_id))?;
    let mut append = Append::of(events);
    append.reserve_phone_number(phone_number.as_str(), customer_id.get());
    Ok((append, known, limit))
}
