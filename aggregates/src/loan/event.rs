//! What has happened to a loan. Each event is complete: no reader recomputes anything.

use chrono::{DateTime, NaiveDate, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use crate::money::Money;
use crate::repayment::{Reference, RepaymentAmount};
use crate::terms::{Principal, Rate, Tenure};
use crate::text::ReasonText;

/// A fact in a loan's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoanEvent {
    /// An approved application became a loan.
    LoanOpened(LoanOpened),
    /// A loan of another system was taken over.
    LoanImported(LoanImported),
    /// Some of it, or the rest, was repaid.
    RepaymentReceived(RepaymentReceived),
    /// The rest was repaid before its time, without the interest of the months to come.
    LoanSettledEarly(LoanSettledEarly),
    /// A repayment was recorded in error and counts no longer.
    RepaymentReversed(RepaymentReversed),
    /// What is left is no longer expected. It stays owed.
    LoanWrittenOff(LoanWrittenOff),
}

/// What a loan runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanTerms {
    /// Which loan.
    pub loan_id: LoanId,
    /// Who borrows.
    pub customer_id: CustomerId,
    /// Rupees lent.
    pub principal: Principal,
    /// Percent a year.
    pub interest_rate: Rate,
    /// Months.
    pub tenure: Tenure,
    /// Rupees a month.
    pub instalment: Money,
    /// The day it was granted.
    pub started_on: NaiveDate,
    /// The last due date.
    pub ends_on: NaiveDate,
}

/// A loan that was applied for here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanOpened {
    /// The decision that granted it.
    pub decision_id: DecisionId,
    /// What it runs on.
    pub terms: LoanTerms,
    /// The last instalment, which absorbs the rounding, in rupees.
    pub last_instalment: Money,
    /// When.
    pub opened_at: DateTime<Utc>,
}

/// A loan taken over from another system, as it stood there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanImported {
    /// The id in the other system, where it could not be kept.
    pub external_id: Option<String>,
    /// What it runs on.
    pub terms: LoanTerms,
    /// Instalments paid by their due date, as counted there.
    pub instalments_paid_on_time: u16,
    /// When.
    pub imported_at: DateTime<Utc>,
}

/// A repayment, how it was allocated, and how the loan stands after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepaymentReceived {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Of which loan.
    pub loan_id: LoanId,
    /// Who borrows.
    pub customer_id: CustomerId,
    /// Rupees: `interest` and `principal` together.
    pub amount: RepaymentAmount,
    /// Rupees of it that paid interest.
    pub interest: Money,
    /// Rupees of it that lowered the balance.
    pub principal: Money,
    /// The day it was paid.
    pub paid_on: NaiveDate,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
    /// Instalments paid in full after it, those paid before the loan was taken over included.
    pub instalments_paid: u16,
    /// Of those, the ones paid by their due date.
    pub instalments_paid_on_time: u16,
    /// Rupees left to pay after it, interest included.
    pub outstanding: Money,
    /// Rupees of those that are principal.
    pub outstanding_principal: Money,
    /// Whether nothing is left to pay.
    pub settled: bool,
    /// When.
    pub received_at: DateTime<Utc>,
}

/// A repayment that settled the loan early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanSettledEarly {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Of which loan.
    pub loan_id: LoanId,
    /// Who borrows.
    pub customer_id: CustomerId,
    /// Rupees: `interest` and `principal` together.
    pub amount: RepaymentAmount,
    /// Rupees of it that paid interest: of the months that had begun.
    pub interest: Money,
    /// Rupees of it that repaid the balance.
    pub principal: Money,
    /// Rupees that are not asked for any more: interest of the months that had not begun.
    pub interest_waived: Money,
    /// The day it was paid.
    pub paid_on: NaiveDate,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
    /// Instalments paid in full after it: all of them.
    pub instalments_paid: u16,
    /// Of those, the ones paid by their due date.
    pub instalments_paid_on_time: u16,
    /// When.
    pub settled_at: DateTime<Utc>,
}

/// How a repayment is split after another one was reversed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reallocation {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Rupees of it that pay interest.
    pub interest: Money,
    /// Rupees of it that lower the balance.
    pub principal: Money,
    /// Whether it settles the loan early: one that did and no longer is enough is an ordinary repayment.
    pub settles_loan_early: bool,
    /// Rupees of interest that it waives.
    pub interest_waived: Money,
}

/// A reversal, and how the loan stands after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepaymentReversed {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Of which loan.
    pub loan_id: LoanId,
    /// Who borrows.
    pub customer_id: CustomerId,
    /// Rupees that were not repaid after all.
    pub amount: RepaymentAmount,
    /// Why.
    pub reason: ReasonText,
    /// Instalments paid in full by what remains, those paid before the loan was taken over included.
    pub instalments_paid: u16,
    /// Of those, the ones paid by their due date.
    pub instalments_paid_on_time: u16,
    /// Rupees left to pay, interest included; zero where what remains settles the loan all the same.
    pub outstanding: Money,
    /// Rupees of those that are principal.
    pub outstanding_principal: Money,
    /// The repayments that remain and are split otherwise than before, in their order.
    pub reallocated: Vec<Reallocation>,
    /// The day of the last repayment that remains.
    pub last_paid_on: Option<NaiveDate>,
    /// The business day of the reversal.
    pub reversed_on: NaiveDate,
    /// When.
    pub reversed_at: DateTime<Utc>,
}

/// A write-off, and what is left to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanWrittenOff {
    /// Which loan.
    pub loan_id: LoanId,
    /// Who borrows.
    pub customer_id: CustomerId,
    /// Rupees left to pay, interest included.
    pub outstanding: Money,
    /// Rupees of those that are principal.
    pub outstanding_principal: Money,
    /// Why.
    pub reason: ReasonText,
    /// The business day of it.
    pub written_off_on: NaiveDate,
    /// When.
    pub written_off_at: DateTime<Utc>,
}

impl RepaymentReversed {
    /// The day the loan was settled, where what remains settles it all the same.
    #[must_use]
    pub fn settled_on(&self) -> Option<NaiveDate> {
        self.last_paid_on.filter(|_| self.outstanding.is_zero())
    }
}

impl LoanEvent {
    /// The repayment, where the event is an ordinary one.
    #[must_use]
    pub const fn repayment(&self) -> Option<&RepaymentReceived> {
        if let Self::RepaymentReceived(received) = self { Some(received) } else { None }
    }

    /// The early settlement, where the event is one.
    #[must_use]
    pub const fn early_settlement(&self) -> Option<&LoanSettledEarly> {
        if let Self::LoanSettledEarly(settled) = self { Some(settled) } else { None }
    }

    /// The reversal, where the event is one.
    #[must_use]
    pub const fn reversal(&self) -> Option<&RepaymentReversed> {
        if let Self::RepaymentReversed(reversed) = self { Some(reversed) } else { None }
    }

    /// The write-off, where the event is one.
    #[must_use]
    pub const fn write_off(&self) -> Option<&LoanWrittenOff> {
        if let Self::LoanWrittenOff(written_off) = self { Some(written_off) } else { None }
    }
}

impl DomainEvent for LoanEvent {
    fn event_type(&self) -> String {
        match self {
            Self::LoanOpened(_) => "LoanOpened",
            Self::LoanImported(_) => "LoanImported",
            Self::RepaymentReceived(_) => "RepaymentReceived",
            Self::LoanSettledEarly(_) => "LoanSettledEarly",
            Self::RepaymentReversed(_) => "RepaymentReversed",
            Self::LoanWrittenOff(_) => "LoanWrittenOff",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::LoanOpened(_)
            | Self::LoanImported(_)
            | Self::RepaymentReceived(_)
            | Self::LoanSettledEarly(_)
            | Self::RepaymentReversed(_)
            | Self::LoanWrittenOff(_) => "1.0",
        }
        .to_owned()
    }
}
