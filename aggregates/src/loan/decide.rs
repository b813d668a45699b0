//! What may happen to a loan: commands, and the pure decision for each. How a loan begins is decided here.

use chrono::{DateTime, Utc};

use crate::ids::DecisionId;
use crate::instalments::schedule;
use crate::loan::{
    Loan, LoanEvent, LoanImported, LoanOpened, LoanRefusal, LoanTerms, ReceiveRepayment, ReverseRepayment, SettleEarly,
    WriteOff,
};
use crate::money::Money;

/// What can be asked of a loan.
#[derive(Debug, Clone)]
pub enum LoanCommand {
    /// Begins, after its customer's application was approved.
    Open(OpenLoan),
    /// Is taken over from another system.
    Import(ImportLoan),
    /// Is repaid, in part or in full.
    Repay(ReceiveRepayment),
    /// Is settled before its time.
    SettleEarly(SettleEarly),
    /// Was not repaid after all.
    ReverseRepayment(ReverseRepayment),
    /// Is no longer expected to be repaid.
    WriteOff(WriteOff),
}

/// The start of a loan.
#[derive(Debug, Clone)]
pub struct OpenLoan {
    /// The decision that granted it.
    pub decision_id: DecisionId,
    /// What it runs on.
    pub terms: LoanTerms,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A loan of another system.
#[derive(Debug, Clone)]
pub struct ImportLoan {
    /// Its id there, where it could not be kept.
    pub external_id: Option<String>,
    /// What it runs on.
    pub terms: LoanTerms,
    /// Instalments paid by their due date, as counted there.
    pub instalments_paid_on_time: u16,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Loan {
    /// The events that a command leads to.
    ///
    /// # Errors
    /// [`LoanRefusal`], when the command is not allowed as the loan stands.
    pub fn decide(&self, command: LoanCommand) -> Result<Vec<LoanEvent>, LoanRefusal> {
        match command {
            LoanCommand::Open(open) => self.open(open),
            LoanCommand::Import(import) => self.import(import),
            LoanCommand::Repay(repayment) => self.repay(repayment),
            LoanCommand::SettleEarly(settlement) => self.settle_early(settlement),
            LoanCommand::ReverseRepayment(reversal) => self.reverse(reversal),
            LoanCommand::WriteOff(write_off) => self.write_off(write_off),
        }
    }

    fn open(&self, command: OpenLoan) -> Result<Vec<LoanEvent>, LoanRefusal> {
        self.must_be_new()?;
        let OpenLoan { decision_id, terms, at } = command;
        must_run_forward(&terms)?;
        let last = schedule(terms.principal, terms.interest_rate, terms.tenure)?.pop();
        let last_instalment = last.map_or(Ok(Money::ZERO), |line| line.amount())?;
        Ok(vec![LoanEvent::LoanOpened(LoanOpened { decision_id, terms, last_instalment, opened_at: at })])
    }

    fn import(&self, command: ImportLoan) -> Result<Vec<LoanEvent>, LoanRefusal> {
        self.must_be_new()?;
        let ImportLoan { external_id, terms, instalments_paid_on_time, at } = command;
        must_run_forward(&terms)?;
        Ok(vec![LoanEvent::LoanImported(LoanImported {
            external_id,
            terms,
            instalments_paid_on_time,
            imported_at: at,
        })])
    }

    pub(super) fn opened(&self) -> Result<&LoanTerms, LoanRefusal> {
        self.terms().ok_or(LoanRefusal::NotOpened)
    }

    fn must_be_new(&self) -> Result<(), LoanRefusal> {
        match self.terms() {
            None => Ok(()),
            Some(terms) => Err(LoanRefusal::AlreadyExists(terms.loan_id)),
        }
    }
}

fn must_run_forward(terms: &LoanTerms) -> Result<(), LoanRefusal> {
    if terms.ends_on < terms.started_on {
        return Err(LoanRefusal::EndsBeforeStart { started_on: terms.started_on, ends_on: terms.ends_on });
    }
    Ok(())
}
