//! The loan: its terms, from the day it is opened or taken over.
//!
//! A loan decides nothing about credit; its customer did that, in the same transaction in which the loan's stream
//! began.

mod decide;
mod event;
pub mod schedule;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{ImportLoan, LoanCommand, LoanRefusal, OpenLoan};
pub use event::{LoanEvent, LoanImported, LoanOpened, LoanTerms};

/// A loan as its events tell it; `Default` is the loan that does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    terms: Option<LoanTerms>,
}

impl Loan {
    /// Its terms; `None` before it is opened.
    #[must_use]
    pub const fn terms(&self) -> Option<&LoanTerms> {
        self.terms.as_ref()
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
            LoanEvent::LoanImported(imported) => self.terms = Some(imported.terms),
        }
    }
}
