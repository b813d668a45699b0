//! What may happen to a loan: commands, refusals and the pure decision between them.

use chrono::{DateTime, NaiveDate, Utc};

use crate::ids::{DecisionId, LoanId, RepaymentId};
use crate::instalments::schedule;
use crate::loan::schedule::Schedule;
use crate::loan::{Loan, LoanEvent, LoanImported, LoanOpened, LoanTerms, RepaymentReceived};
use crate::money::{Money, OutOfRange};
use crate::repayment::{Reference, RepaymentAmount};

/// What can be asked of a loan.
#[derive(Debug, Clone)]
pub enum LoanCommand {
    /// Begins, after its customer's application was approved.
    Open(OpenLoan),
    /// Is taken over from another system.
    Import(ImportLoan),
    /// Is repaid, in part or in full.
    Repay(ReceiveRepayment),
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

/// A repayment that has come in.
#[derive(Debug, Clone)]
pub struct ReceiveRepayment {
    /// A new id.
    pub repayment_id: RepaymentId,
    /// Rupees.
    pub amount: RepaymentAmount,
    /// The day it was paid: what being on time is judged by.
    pub paid_on: NaiveDate,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
    /// The business day.
    pub today: NaiveDate,
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
    /// There is no such loan.
    #[error("there is no such loan")]
    NotOpened,
    /// Nothing is left to pay.
    #[error("loan {0} is settled already")]
    Settled(LoanId),
    /// The day of payment has not come yet.
    #[error("the repayment is dated {paid_on}, after today, {today}")]
    PaidInFuture {
        /// The day given.
        paid_on: NaiveDate,
        /// The business day.
        today: NaiveDate,
    },
    /// Paid before there was a loan.
    #[error("the repayment is dated {paid_on}, before the loan started on {started_on}")]
    PaidBeforeStart {
        /// The day given.
        paid_on: NaiveDate,
        /// The loan's first day.
        started_on: NaiveDate,
    },
    /// A later repayment was recorded first: what it paid on time cannot be told anew.
    #[error("the repayment is dated {paid_on}, before the last one on {last_paid_on}")]
    OutOfOrder {
        /// The day given.
        paid_on: NaiveDate,
        /// The last repayment's day.
        last_paid_on: NaiveDate,
    },
    /// More than there is to pay.
    #[error("the amount is more than the {outstanding} that settles the loan")]
    AmountOverOutstanding {
        /// Rupees that settle the loan.
        outstanding: Money,
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
        match command {
            LoanCommand::Open(open) => self.open(open),
            LoanCommand::Import(import) => self.import(import),
            LoanCommand::Repay(repayment) => self.repay(repayment),
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

    fn repay(&self, command: ReceiveRepayment) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let terms = self.terms().ok_or(LoanRefusal::NotOpened)?;
        let schedule = Schedule::of(terms)?;
        let paid = self.paid(&schedule)?;
        let before = schedule.position(paid)?;
        self.must_take(&command, terms, before.outstanding)?;
        let ReceiveRepayment { repayment_id, amount, paid_on, reference, today: _, at } = command;
        let after = schedule.position(paid.plus(amount.money())?)?;
        Ok(vec![LoanEvent::RepaymentReceived(RepaymentReceived {
            repayment_id,
            loan_id: terms.loan_id,
            customer_id: terms.customer_id,
            amount,
            interest: after.interest.minus(before.interest).ok_or(OutOfRange)?,
            principal: after.principal.minus(before.principal).ok_or(OutOfRange)?,
            paid_on,
            reference,
            instalments_paid: after.instalments_paid,
            instalments_paid_on_time: self.on_time(&schedule, after.instalments_paid, paid_on),
            outstanding: after.outstanding,
            outstanding_principal: after.outstanding_principal,
            settled: after.outstanding.is_zero(),
            received_at: at,
        })])
    }

    /// The sum of everything paid so far, before the loan was taken over included.
    fn paid(&self, schedule: &Schedule) -> Result<Money, OutOfRange> {
        match self.progress.outstanding {
            Some(outstanding) => schedule.total().minus(outstanding).ok_or(OutOfRange),
            None => schedule.total_of_first(self.progress.instalments_paid),
        }
    }

    fn must_take(
        &self,
        repayment: &ReceiveRepayment,
        terms: &LoanTerms,
        outstanding: Money,
    ) -> Result<(), LoanRefusal> {
        let ReceiveRepayment { paid_on, today, .. } = *repayment;
        if outstanding.is_zero() {
            return Err(LoanRefusal::Settled(terms.loan_id));
        }
        if paid_on > today {
            return Err(LoanRefusal::PaidInFuture { paid_on, today });
        }
        if paid_on < terms.started_on {
            return Err(LoanRefusal::PaidBeforeStart { paid_on, started_on: terms.started_on });
        }
        if let Some(last_paid_on) = self.progress.last_paid_on.filter(|last| paid_on < *last) {
            return Err(LoanRefusal::OutOfOrder { paid_on, last_paid_on });
        }
        if repayment.amount.money() > outstanding {
            return Err(LoanRefusal::AmountOverOutstanding { outstanding });
        }
        Ok(())
    }

    /// Instalments paid by their due date, when a repayment of that day makes them `paid` in full. No count of another
    /// system exceeds the tenure here: such a loan is settled and takes no repayment.
    fn on_time(&self, schedule: &Schedule, paid: u16, paid_on: NaiveDate) -> u16 {
        let before = usize::from(self.progress.instalments_paid);
        let newly_paid = schedule.instalments().iter().take(usize::from(paid)).skip(before);
        let on_time: u16 = newly_paid.map(|scheduled| u16::from(scheduled.is_on_time(paid_on))).sum();
        self.progress.instalments_paid_on_time + on_time
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
