//! What may happen to a loan: commands, refusals and the pure decision between them.

use chrono::{DateTime, NaiveDate, Utc};

use crate::ids::{DecisionId, LoanId};
use crate::instalments::schedule;
use crate::loan::{Loan, LoanEvent, LoanImported, LoanOpened, LoanTerms};
use crate::money::{Money, OutOfRange};

/// What can be asked of a loan.
#[derive(Debug, Clone)]
pub enum LoanCommand {
    /// Begins, after its customer's application was approved.
    Open(OpenLoan),
    /// Is taken over from another system.
    Import(ImportLoan),
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

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoanRefusal {
    /// The id belongs to a loan already.
    #[error("loan {0} exists already")]
    AlreadyExists(LoanId),
    /// A loan that ends before it starts.
    #[error("the loan ends on {ends_on}, before it starts on {started_on}")]
    EndsBeforeStart {
        /// First day.
        started_on: NaiveDate,
        /// Last due date.
        ends_on: NaiveDate,
    },
    /// A sum left the range of money.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl Loan {
    /// The events that a command leads to.
    ///
    /// # Errors
    /// [`LoanRefusal`], when the command is not allowed as the loan stands.
    pub fn decide(&self, command: LoanCommand) -> Result<Vec<LoanEvent>, LoanRefusal> {
        if let Some(terms) = self.terms() {
            return Err(LoanRefusal::AlreadyExists(terms.loan_id));
        }
        match command {
            LoanCommand::Open(open) => Self::open(open),
            LoanCommand::Import(import) => Self::import(import),
        }
    }

    fn open(command: OpenLoan) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let OpenLoan { decision_id, terms, at } = command;
        must_run_forward(&terms)?;
        let last = schedule(terms.principal, terms.interest_rate, terms.tenure)?.pop();
        let last_instalment = last.map_or(Ok(Money::ZERO), |line| line.amount())?;
        Ok(vec![LoanEvent::LoanOpened(LoanOpened { decision_id, terms, last_instalment, opened_at: at })])
    }

    fn import(command: ImportLoan) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let ImportLoan { external_id, terms, instalments_paid_on_time, at } = command;
        must_run_forward(&terms)?;
        Ok(vec![LoanEvent::LoanImported(LoanImported {
            external_id,
            terms,
            instalments_paid_on_time,
            imported_at: at,
        })])
    }
}

fn must_run_forward(terms: &LoanTerms) -> Result<(), LoanRefusal> {
    if terms.ends_on < terms.started_on {
        return Err(LoanRefusal::EndsBeforeStart { started_on: terms.started_on, ends_on: terms.ends_on });
    }
    Ok(())
}
