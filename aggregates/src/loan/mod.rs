//! The loan: its terms, from the day it is opened or taken over, and its repayments, until it is settled.
//!
//! How much is paid of which instalment, and when, is arithmetic over terms and repayments: [`account`].
//!
//! A loan decides nothing about credit; its customer did that, in the same transaction in which the loan's stream
//! began. What a repayment means for credit is told to the customer in one transaction too.

pub mod account;
mod decide;
mod event;
pub mod record;
mod refusal;
mod repay;
mod reverse;
pub mod schedule;
mod settle;
mod status;
mod write_off;

use chrono::NaiveDate;
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{ImportLoan, LoanCommand, OpenLoan};
pub use event::{
    LoanEvent, LoanImported, LoanOpened, LoanSettledEarly, LoanTerms, LoanWrittenOff, Reallocation, RepaymentReceived,
    RepaymentReversed,
};
pub use record::{RepaymentRecord, Reversal};
pub use refusal::LoanRefusal;
pub use repay::ReceiveRepayment;
pub use reverse::ReverseRepayment;
pub use settle::SettleEarly;
pub use status::LoanStatus;
pub use write_off::WriteOff;

use self::account::Account;

/// A loan as its events tell it; `Default` is the loan that does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    terms: Option<LoanTerms>,
    /// Instalments paid before it was taken over, as counted there.
    paid_before: u16,
    repayments: Vec<RepaymentRecord>,
    written_off_on: Option<NaiveDate>,
}

impl Loan {
    /// Its terms; `None` before it is opened.
    #[must_use]
    pub const fn terms(&self) -> Option<&LoanTerms> {
        self.terms.as_ref()
    }

    /// Its repayments in their order, those that were reversed included.
    #[must_use]
    pub fn repayments(&self) -> &[RepaymentRecord] {
        &self.repayments
    }

    /// The day it was written off, where it was.
    #[must_use]
    pub const fn written_off_on(&self) -> Option<NaiveDate> {
        self.written_off_on
    }

    /// Its schedule and what is paid of it.
    ///
    /// # Errors
    /// When there is no such loan, or an amount leaves the range of money.
    pub fn account(&self) -> Result<Account, LoanRefusal> {
        Ok(Account::of(self.opened()?, self.paid_before, &self.repayments)?)
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
        record::fold(&mut self.repayments, &event);
        match event {
            LoanEvent::LoanOpened(opened) => self.terms = Some(opened.terms),
            LoanEvent::LoanImported(imported) => {
                self.terms = Some(imported.terms);
                self.paid_before = imported.instalments_paid_on_time;
            }
            // They are kept as records.
            LoanEvent::RepaymentReceived(_) | LoanEvent::LoanSettledEarly(_) | LoanEvent::RepaymentReversed(_) => {}
            LoanEvent::LoanWrittenOff(written_off) => self.written_off_on = Some(written_off.written_off_on),
        }
    }
}
