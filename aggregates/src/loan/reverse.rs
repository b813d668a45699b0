//! Reversing a repayment that was recorded in error: the others are allocated anew, as if it had never come.
//!
//! They keep their order and their days. An early settlement that comes after the reversed repayment settles the loan
//! only where it is enough without it too; else it has paid what it can, like any other repayment.

use chrono::{DateTime, NaiveDate, Utc};

use crate::ids::RepaymentId;
use crate::loan::account::Account;
use crate::loan::schedule::Schedule;
use crate::loan::{Loan, LoanEvent, LoanRefusal, Reallocation, RepaymentRecord, RepaymentReversed};
use crate::money::OutOfRange;
use crate::text::ReasonText;

/// A repayment that was recorded in error.
#[derive(Debug, Clone)]
pub struct ReverseRepayment {
    /// Which one.
    pub repayment_id: RepaymentId,
    /// Why.
    pub reason: ReasonText,
    /// The business day.
    pub today: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Loan {
    pub(super) fn reverse(&self, command: ReverseRepayment) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let terms = self.opened()?;
        let ReverseRepayment { repayment_id, reason, today, at } = command;
        let mut repayments = self.repayments.iter();
        let reversed = repayments
            .find(|repayment| repayment.repayment_id == repayment_id)
            .ok_or(LoanRefusal::NoSuchRepayment(repayment_id))?;
        if reversed.reversed.is_some() {
            return Err(LoanRefusal::AlreadyReversed(repayment_id));
        }
        let mut account = Account::untouched(&Schedule::of(terms)?, self.paid_before)?;
        let reallocated = reallocate(&mut account, self.repayments_without(repayment_id))?;
        Ok(vec![LoanEvent::RepaymentReversed(RepaymentReversed {
            repayment_id,
            loan_id: terms.loan_id,
            customer_id: terms.customer_id,
            amount: reversed.amount,
            reason,
            instalments_paid: account.instalments_paid(),
            instalments_paid_on_time: account.instalments_paid_on_time(),
            outstanding: account.outstanding(),
            outstanding_principal: account.outstanding_principal(),
            reallocated,
            last_paid_on: account.last_paid_on(),
            reversed_on: today,
            reversed_at: at,
        })])
    }

    /// The repayments that count, but for one.
    fn repayments_without(&self, repayment_id: RepaymentId) -> impl Iterator<Item = &RepaymentRecord> {
        let counts =
            move |repayment: &&RepaymentRecord| repayment.reversed.is_none() && repayment.repayment_id != repayment_id;
        self.repayments.iter().filter(counts)
    }
}

/// Takes repayments; answers those that are split otherwise than before.
fn reallocate<'a>(
    account: &mut Account,
    repayments: impl Iterator<Item = &'a RepaymentRecord>,
) -> Result<Vec<Reallocation>, OutOfRange> {
    let mut reallocated = Vec::new();
    for repayment in repayments {
        let split = account.take(repayment)?;
        if split != repayment.split() {
            reallocated.push(Reallocation {
                repayment_id: repayment.repayment_id,
                interest: split.interest,
                principal: split.principal,
                settles_loan_early: split.settles_loan_early,
                interest_waived: split.interest_waived,
            });
        }
    }
    Ok(reallocated)
}
