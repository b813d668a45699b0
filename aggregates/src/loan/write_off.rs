//! Writing a loan off: it is no longer expected to be repaid. It stays owed, recoveries are taken like any repayment,
//! and nothing undoes it.

use chrono::{DateTime, NaiveDate, Utc};

use crate::loan::{Loan, LoanEvent, LoanRefusal, LoanWrittenOff};
use crate::text::ReasonText;

/// A loan that is no longer expected to be repaid.
#[derive(Debug, Clone)]
pub struct WriteOff {
    /// Why.
    pub reason: ReasonText,
    /// The business day.
    pub today: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Loan {
    pub(super) fn write_off(&self, command: WriteOff) -> Result<Vec<LoanEvent>, LoanRefusal> {
        let terms = self.opened()?;
        let account = self.account()?;
        let WriteOff { reason, today, at } = command;
        if account.outstanding().is_zero() {
            return Err(LoanRefusal::Settled(terms.loan_id));
        }
        if self.written_off_on.is_some() {
            return Err(LoanRefusal::AlreadyWrittenOff(terms.loan_id));
        }
        Ok(vec![LoanEvent::LoanWrittenOff(LoanWrittenOff {
            loan_id: terms.loan_id,
            customer_id: terms.customer_id,
            outstanding: account.outstanding(),
            outstanding_principal: account.outstanding_principal(),
            reason,
            written_off_on: today,
            written_off_at: at,
        })])
    }
}
