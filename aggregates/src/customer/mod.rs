//! The customer: the consistency boundary of credit.
//!
//! A customer's stream alone holds what its decisions need (income, limit, what matters of each loan), so a decision
//! is taken from it and appended to it at the version it was taken from: two concurrent applications can never both
//! see the same free limit. Terms, schedule and repayments of a loan live in [`crate::loan`].

mod decide;
mod details;
mod event;
mod record;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{ApplyForLoan, CarryOverLoan, CustomerCommand, CustomerRefusal, ImportCustomer, RegisterCustomer};
pub use details::ChangeDetails;
pub use event::{
    CustomerEvent, CustomerImported, CustomerRegistered, Decided, LoanApproved, LoanCarriedOver, LoanDeclined,
    LoanWriteOffRecorded, MonthlyIncomeChanged, PhoneNumberChanged, RepaymentRecorded, RepaymentReversalRecorded,
};
pub use record::{RecordRepayment, RecordReversal, RecordWriteOff};

use crate::ids::{CustomerId, LoanId};
use crate::person::PhoneNumber;
use crate::profile::{CreditProfile, LoanRecord};

/// A customer as its events tell it; `Default` is the customer of whom nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    profile: Option<CreditProfile>,
    identity: Option<Identity>,
    revision: u32,
}

/// Who a customer is, as far as its commands need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    customer_id: CustomerId,
    phone_number: PhoneNumber,
}

impl Customer {
    /// Income, limit and loans; `None` before registration.
    #[must_use]
    pub const fn profile(&self) -> Option<&CreditProfile> {
        self.profile.as_ref()
    }

    /// Where it is reached; `None` before registration.
    #[must_use]
    pub fn phone_number(&self) -> Option<&PhoneNumber> {
        self.identity.as_ref().map(|identity| &identity.phone_number)
    }

    /// Which state of its details this is: 1 at registration or import, one more with each change; 0 before. What
    /// happens to its loans is no change of them.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    fn begin(&mut self, customer_id: CustomerId, phone_number: PhoneNumber) {
        self.identity = Some(Identity { customer_id, phone_number });
        self.revision = 1;
    }
}

impl Aggregate for Customer {
    const TYPE: &'static str = "customer";
    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Error = CustomerRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: CustomerCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), CustomerRefusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: CustomerEvent) {
        fold(&mut self.profile, &event);
        match event {
            CustomerEvent::CustomerRegistered(registered) => {
                self.begin(registered.customer_id, registered.personal.phone_number);
            }
            CustomerEvent::CustomerImported(imported) => {
                self.begin(imported.customer_id, imported.personal.phone_number);
            }
            CustomerEvent::MonthlyIncomeChanged(_) => self.revision += 1,
            CustomerEvent::PhoneNumberChanged(changed) => {
                if let Some(identity) = &mut self.identity {
                    identity.phone_number = changed.personal.phone_number;
                }
                self.revision += 1;
            }
            CustomerEvent::LoanApproved(_)
            | CustomerEvent::LoanDeclined(_)
            | CustomerEvent::LoanCarriedOver(_)
            | CustomerEvent::RepaymentRecorded(_)
            | CustomerEvent::RepaymentReversalRecorded(_)
            | CustomerEvent::LoanWriteOffRecorded(_) => {}
        }
    }
}

/// What an event means for a credit profile: the one fold that aggregate and read model share.
pub fn fold(profile: &mut Option<CreditProfile>, event: &CustomerEvent) {
    match event {
        CustomerEvent::CustomerRegistered(registered) => {
            *profile = Some(CreditProfile::new(registered.monthly_income, registered.approved_limit));
        }
        CustomerEvent::CustomerImported(imported) => {
            *profile = Some(CreditProfile::new(imported.monthly_income, imported.approved_limit));
        }
        CustomerEvent::LoanApproved(approved) => add_loan(profile, approved.loan.clone()),
        CustomerEvent::LoanDeclined(_) | CustomerEvent::PhoneNumberChanged(_) => {}
        CustomerEvent::LoanCarriedOver(carried_over) => add_loan(profile, carried_over.loan.clone()),
        CustomerEvent::RepaymentRecorded(recorded) => {
            if let Some(loan) = loan_of(profile, recorded.loan_id) {
                loan.instalments_paid_on_time = recorded.instalments_paid_on_time;
                loan.settled_on = recorded.settled_on;
            }
        }
        CustomerEvent::RepaymentReversalRecorded(recorded) => {
            if let Some(loan) = loan_of(profile, recorded.loan_id) {
                loan.instalments_paid_on_time = recorded.instalments_paid_on_time;
                loan.settled_on = recorded.settled_on;
            }
        }
        CustomerEvent::LoanWriteOffRecorded(recorded) => {
            if let Some(loan) = loan_of(profile, recorded.loan_id) {
                loan.written_off_on = Some(recorded.written_off_on);
            }
        }
        CustomerEvent::MonthlyIncomeChanged(changed) => {
            if let Some(profile) = profile {
                profile.monthly_income = changed.monthly_income;
                profile.approved_limit = changed.approved_limit;
            }
        }
    }
}

fn add_loan(profile: &mut Option<CreditProfile>, loan: LoanRecord) {
    if let Some(profile) = profile {
        profile.loans.push(loan);
    }
}

fn loan_of(profile: &mut Option<CreditProfile>, loan_id: LoanId) -> Option<&mut LoanRecord> {
    let mut loans = profile.iter_mut().flat_map(|profile| &mut profile.loans);
    loans.find(|loan| loan.loan_id == loan_id)
}
