//! Settling a loan early: all principal that is left, and no interest of the months to come.

use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::ids::RepaymentId;
use crate::loan::{Loan, LoanEvent, LoanRefusal, LoanSettledEarly};
use crate::repayment::{Reference, RepaymentAmount};

/// How many days ago the money of a settlement may have come. The day decides which interest is waived, so that nobody
/// settles as of a day long past, when less had begun.
pub(super) const MAX_SETTLEMENT_BACKDATING_DAYS: u64 = 31;

/// A repayment that is to settle the loan early.
#[derive(Debug, Clone)]
pub struct SettleEarly {
    /// A new id.
    pub repayment_id: RepaymentId,
    /// Rupees: what settles the loan on that day, to the paisa.
    pub amount: RepaymentAmount,
    /// The day it was paid.
    pub paid_on: NaiveDate,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
    /// The business day.
    pub today: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Loan {
    pub(super) fn settle_early(&self, command: SettleEarly) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let terms = self.opened()?;
        let mut account = self.account()?;
        let SettleEarly { repayment_id, amount, paid_on, reference, today, at } = command;
        self.must_take(terms, &account, paid_on, today)?;
        let earliest = today.checked_sub_days(Days::new(MAX_SETTLEMENT_BACKDATING_DAYS)).unwrap_or(today);
        if paid_on < earliest {
            return Err(LoanRefusal::SettledTooLongAgo { paid_on, earliest });
        }
        let settlement = account.settlement(paid_on)?;
        if amount.money() != settlement.amount {
            return Err(LoanRefusal::SettlementAmount { expected: settlement.amount });
        }
        let split = account.settle(settlement, paid_on)?;
        Ok(vec![LoanEvent::LoanSettledEarly(LoanSettledEarly {
            repayment_id,
            loan_id: terms.loan_id,
            customer_id: terms.customer_id,
            amount,
            interest: split.interest,
            principal: split.principal,
            interest_waived: split.interest_waived,
            paid_on,
            reference,
            instalments_paid: account.instalments_paid(),
            instalments_paid_on_time: account.instalments_paid_on_time(),
            settled_at: at,
        })])
    }
}
