//! Taking a repayment, in part or in full, early or late.

use chrono::{DateTime, NaiveDate, Utc};

use crate::ids::RepaymentId;
use crate::loan::account::Account;
use crate::loan::{Loan, LoanEvent, LoanRefusal, LoanTerms, RepaymentReceived};
use crate::repayment::{Reference, RepaymentAmount};

/// Repayments of one loan at most, those that were reversed included: four for each month of the longest tenure. It bounds
/// what a loan's row holds, and what a reversal has to say of the repayments after it.
pub(super) const MAX_REPAYMENTS: usize = 2_000;

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

impl Loan {
    pub(super) fn repay(&self, command: ReceiveRepayment) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let terms = self.opened()?;
        let mut account = self.account()?;
        let ReceiveRepayment { repayment_id, amount, paid_on, reference, today, at } = command;
        self.must_take(terms, &account, paid_on, today)?;
        let outstanding = account.outstanding();
        if amount.money() > outstanding {
            return Err(LoanRefusal::AmountOverOutstanding { outstanding });
        }
        let split = account.repay(amount.money(), paid_on)?;
        Ok(vec![LoanEvent::RepaymentReceived(RepaymentReceived {
            repayment_id,
            loan_id: terms.loan_id,
            customer_id: terms.customer_id,
            amount,
            interest: split.interest,
            principal: split.principal,
            paid_on,
            reference,
            instalments_paid: account.instalments_paid(),
            instalments_paid_on_time: account.instalments_paid_on_time(),
            outstanding: account.outstanding(),
            outstanding_principal: account.outstanding_principal(),
            settled: account.outstanding().is_zero(),
            received_at: at,
        })])
    }

    /// Something is left to pay, and the day is neither to come nor before what is recorded.
    pub(super) fn must_take(
        &self,
        terms: &LoanTerms,
        account: &Account,
        paid_on: NaiveDate,
        today: NaiveDate,
    ) -> Result<(), LoanRefusal> {
        if account.outstanding().is_zero() {
            return Err(LoanRefusal::Settled(terms.loan_id));
        }
        if self.repayments().len() >= MAX_REPAYMENTS {
            return Err(LoanRefusal::TooManyRepayments(terms.loan_id));
        }
        if paid_on > today {
            return Err(LoanRefusal::PaidInFuture { paid_on, today });
        }
        if paid_on < terms.started_on {
            return Err(LoanRefusal::PaidBeforeStart { paid_on, started_on: terms.started_on });
        }
        match account.last_paid_on().filter(|last| paid_on < *last) {
            Some(last_paid_on) => Err(LoanRefusal::OutOfOrder { paid_on, last_paid_on }),
            None => Ok(()),
        }
    }
}
