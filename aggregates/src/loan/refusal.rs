//! Why a loan refuses a command.

use chrono::NaiveDate;

use crate::ids::{LoanId, RepaymentId};
use crate::money::{Money, OutOfRange};

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
    /// Not what settles the loan early on that day.
    #[error("the amount is not the {expected} that settles the loan on that day")]
    SettlementAmount {
        /// Rupees that do.
        expected: Money,
    },
    /// Settled as of a day that is too long past.
    #[error("the settlement is dated {paid_on}, before {earliest}, the earliest day that is still taken")]
    SettledTooLongAgo {
        /// The day given.
        paid_on: NaiveDate,
        /// The earliest day that is taken.
        earliest: NaiveDate,
    },
    /// The loan has taken as many repayments as it can.
    #[error("loan {0} has taken as many repayments as a loan can")]
    TooManyRepayments(LoanId),
    /// The loan has taken no such repayment.
    #[error("the loan has no repayment {0}")]
    NoSuchRepayment(RepaymentId),
    /// The repayment was reversed before.
    #[error("repayment {0} is reversed already")]
    AlreadyReversed(RepaymentId),
    /// The loan was written off before.
    #[error("loan {0} is written off already")]
    AlreadyWrittenOff(LoanId),
    /// A sum left the range of money.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}
