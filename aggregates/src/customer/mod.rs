//! The customer: the consistency boundary of credit.
//!
//! A customer's stream alone holds what its decisions need (income, limit, what matters of each loan), so a decision
//! is taken from it and appended to it at the version it was taken from: two concurrent applications can never both
//! see the same free limit. Terms, schedule and repayments of a loan live in [`crate::loan`].

mod decide;
mod event;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{
    ApplyForLoan, CarryOverLoan, CustomerCommand, CustomerRefusal, ImportCustomer, RecordRepayment, RegisterCustomer,
};
pub use event::{
    CustomerEvent, CustomerImported, CustomerRegistered, Decided, LoanApproved, LoanCarriedOver, LoanDeclined,
    RepaymentRecorded,
};

use crate::profile::{CreditProfile, LoanRecord};

/// A customer as its events tell it; `Default` is the customer of whom nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    profile: Option<CreditProfile>,
}

impl Customer {
    /// Income, limit and loans; `None` before registration.
    #[must_use]
    pub const fn profile(&self) -> Option<&CreditProfile> {
        self.profile.as_ref()
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
        CustomerEvent::LoanDeclined(_) => {}
        CustomerEvent::LoanCarriedOver(carried_over) => add_loan(profile, carried_over.loan.clone()),
        CustomerEvent::RepaymentRecorded(recorded) => record_repayment(profile, recorded),
    }
}

fn add_loan(profile: &mut Option<CreditProfile>, loan: LoanRecord) {
    if let Some(profile) = profile {
        profile.loans.push(loan);
    }
}

fn record_repayment(profile: &mut Option<CreditProfile>, recorded: &RepaymentRecorded) {
    let mut loans = profile.iter_mut().flat_map(|profile| &mut profile.loans);
    if let Some(loan) = loans.find(|loan| loan.loan_id == recorded.loan_id) {
        loan.instalments_paid_on_time = recorded.instalments_paid_on_time;
        loan.settled_on = recorded.settled_on;
    }
}
