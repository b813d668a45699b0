//! What has happened to a loan. Each event is complete: no reader recomputes anything.

use chrono::{DateTime, NaiveDate, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use crate::money::Money;
use crate::repayment::{Reference, RepaymentAmount};
use crate::terms::{Principal, Rate, Tenure};

/// A fact in a loan's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoanEvent {
    /// An approved application became a loan.
    LoanOpened(LoanOpened),
    /// A loan of another system was taken over.
    LoanImported(LoanImported),
    /// Some of it, or the rest, was repaid.
    RepaymentReceived(RepaymentReceived),
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

impl LoanEvent {
    /// The repayment, where the event is one.
    #[must_use]
    pub const fn repayment(&self) -> Option<&RepaymentReceived> {
        match self {
            Self::RepaymentReceived(received) => Some(received),
            Self::LoanOpened(_) | Self::LoanImported(_) => None,
        }
    }
}

impl DomainEvent for LoanEvent {
    fn event_type(&self) -> String {
        match self {
            Self::LoanOpened(_) => "LoanOpened",
            Self::LoanImported(_) => "LoanImported",
            Self::RepaymentReceived(_) => "RepaymentReceived",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::LoanOpened(_) | Self::LoanImported(_) | Self::RepaymentReceived(_) => "1.0",
        }
        .to_owned()
    }
}
