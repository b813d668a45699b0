//! The loan: its terms, from the day it is opened or taken over, and its repayments, until it is settled.
//!
//! A loan decides nothing about credit; its customer did that, in the same transaction in which the loan's stream
//! began. What a repayment means for credit is told to the customer in one transaction too.

mod decide;
mod event;
pub mod schedule;

use chrono::NaiveDate;
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{ImportLoan, LoanCommand, LoanRefusal, OpenLoan, ReceiveRepayment};
pub use event::{LoanEvent, LoanImported, LoanOpened, LoanTerms, RepaymentReceived};

use crate::money::Money;

/// A loan as its events tell it; `Default` is the loan that does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    terms: Option<LoanTerms>,
    progress: Progress,
}

/// How far a loan is repaid, as its last event tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Instalments paid in full. Until the first repayment of an imported loan, as counted there: it may be more than
    /// its tenure.
    pub instalments_paid: u16,
    /// Of those, the ones paid by their due date.
    pub instalments_paid_on_time: u16,
    /// Rupees left to pay, zero when settled. `None` before the first repayment: the schedule says it, less the
    /// instalments that are paid.
    pub outstanding: Option<Money>,
    /// The day of the last repayment.
    pub last_paid_on: Option<NaiveDate>,
}

impl Loan {
    /// Its terms; `None` before it is opened.
    #[must_use]
    pub const fn terms(&self) -> Option<&LoanTerms> {
        self.terms.as_ref()
    }

    /// How far it is repaid.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Aggregate for Loan {
    const TYPE: &'static str = "loan";
    type Command = LoanCommand;
    type Event = LoanEvent;
    type Error = LoanRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: LoanCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), LoanRefusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: LoanEvent) {
        match event {
            LoanEvent::LoanOpened(opened) => self.terms = Some(opened.terms),
            LoanEvent::LoanImported(imported) => {
                self.terms = Some(imported.terms);
                self.progress.instalments_paid = imported.instalments_paid_on_time;
                self.progress.instalments_paid_on_time = imported.instalments_paid_on_time;
            }
            LoanEvent::RepaymentReceived(received) => {
                self.progress = Progress {
                    instalments_paid: received.instalments_paid,
                    instalments_paid_on_time: received.instalments_paid_on_time,
                    outstanding: Some(received.outstanding),
                    last_paid_on: Some(received.paid_on),
                };
            }
        }
    }
}
