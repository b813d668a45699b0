//! The repayments of a loan as its events tell them: one record each, in the order in which they came.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::RepaymentId;
use crate::loan::account::Split;
use crate::loan::{LoanEvent, LoanSettledEarly, RepaymentReceived, RepaymentReversed};
use crate::money::Money;
use crate::repayment::{Reference, RepaymentAmount};
use crate::text::ReasonText;

/// A repayment, and how it is split by what is known now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepaymentRecord {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Rupees: `interest` and `principal` together.
    pub amount: RepaymentAmount,
    /// Rupees of it that pay interest. What was reversed keeps the split it had.
    pub interest: Money,
    /// Rupees of it that lower the balance.
    pub principal: Money,
    /// The day it was paid.
    pub paid_on: NaiveDate,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
    /// Whether it settles the loan early.
    pub settles_loan_early: bool,
    /// Rupees of interest that it waives.
    pub interest_waived: Money,
    /// When it was recorded.
    pub received_at: DateTime<Utc>,
    /// That it was reversed, where it was: it counts no longer.
    pub reversed: Option<Reversal>,
}

/// That a repayment counts no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// The business day of the reversal.
    pub reversed_on: NaiveDate,
    /// Why.
    pub reason: ReasonText,
}

impl RepaymentRecord {
    /// How it is split.
    #[must_use]
    pub const fn split(&self) -> Split {
        Split {
            interest: self.interest,
            principal: self.principal,
            settles_loan_early: self.settles_loan_early,
            interest_waived: self.interest_waived,
        }
    }
}

impl From<&RepaymentReceived> for RepaymentRecord {
    fn from(received: &RepaymentReceived) -> Self {
        Self {
            repayment_id: received.repayment_id,
            amount: received.amount,
            interest: received.interest,
            principal: received.principal,
            paid_on: received.paid_on,
            reference: received.reference.clone(),
            settles_loan_early: false,
            interest_waived: Money::ZERO,
            received_at: received.received_at,
            reversed: None,
        }
    }
}

impl From<&LoanSettledEarly> for RepaymentRecord {
    fn from(settled: &LoanSettledEarly) -> Self {
        Self {
            repayment_id: settled.repayment_id,
            amount: settled.amount,
            interest: settled.interest,
            principal: settled.principal,
            paid_on: settled.paid_on,
            reference: settled.reference.clone(),
            settles_loan_early: true,
            interest_waived: settled.interest_waived,
            received_at: settled.settled_at,
            reversed: None,
        }
    }
}

/// What an event makes of a loan's repayments: the one fold that aggregate and read model share.
pub fn fold(repayments: &mut Vec<RepaymentRecord>, event: &LoanEvent) {
    match event {
        LoanEvent::RepaymentReceived(received) => repayments.push(received.into()),
        LoanEvent::LoanSettledEarly(settled) => repayments.push(settled.into()),
        LoanEvent::RepaymentReversed(reversed) => reverse(repayments, reversed),
        LoanEvent::LoanOpened(_) | LoanEvent::LoanImported(_) | LoanEvent::LoanWrittenOff(_) => {}
    }
}

fn reverse(repayments: &mut [RepaymentRecord], event: &RepaymentReversed) {
    for repayment in repayments {
        if repayment.repayment_id == event.repayment_id {
            repayment.reversed = Some(Reversal { reversed_on: event.reversed_on, reason: event.reason.clone() });
        }
        let mut reallocated = event.reallocated.iter();
        if let Some(split) = reallocated.find(|split| split.repayment_id == repayment.repayment_id) {
            repayment.interest = split.interest;
            repayment.principal = split.principal;
            repayment.settles_loan_early = split.settles_loan_early;
            repayment.interest_waived = split.interest_waived;
        }
    }
}
