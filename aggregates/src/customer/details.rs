//! What of a customer may change after registration: the income, with the limit that follows from it, and the phone
//! number.

use chrono::{DateTime, Utc};

use crate::customer::{Customer, CustomerEvent, CustomerRefusal, MonthlyIncomeChanged, PhoneNumberChanged};
use crate::person::{ContactData, MonthlyIncome, PhoneNumber};

/// What is known anew of a customer. A value that it has already is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeDetails {
    /// Rupees a month, where the income is known anew.
    pub monthly_income: Option<MonthlyIncome>,
    /// Where the phone number is known anew. That it is nobody else's is for the store to hold.
    pub phone_number: Option<PhoneNumber>,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Customer {
    /// One event for each value that changes; none when nothing does.
    pub(super) fn change_details(&self, command: ChangeDetails) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let profile = self.registered()?;
        let identity = self.identity.as_ref().ok_or(CustomerRefusal::NotRegistered)?;
        let customer_id = identity.customer_id;
        let ChangeDetails { monthly_income, phone_number, at: changed_at } = command;
        let mut events = Vec::new();
        if let Some(monthly_income) = monthly_income.filter(|income| *income != profile.monthly_income) {
            let approved_limit = monthly_income.approved_limit()?;
            events.push(CustomerEvent::MonthlyIncomeChanged(MonthlyIncomeChanged {
                customer_id,
                monthly_income,
                approved_limit,
                changed_at,
            }));
        }
        if let Some(phone_number) = phone_number.filter(|number| *number != identity.phone_number) {
            let personal = ContactData { phone_number };
            events.push(CustomerEvent::PhoneNumberChanged(PhoneNumberChanged { customer_id, personal, changed_at }));
        }
        Ok(events)
    }
}
