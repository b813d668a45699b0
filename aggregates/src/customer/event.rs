//! What has happened to a customer. Each event is complete: no reader recomputes anything.

use chrono::{DateTime, NaiveDate, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use crate::money::Money;
use crate::person::{ContactData, MonthlyIncome, PersonalData};
use crate::policy::decision::Assessment;
use crate::profile::LoanRecord;

/// A fact in a customer's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CustomerEvent {
    /// A new customer registered, with a limit computed from the income.
    CustomerRegistered(CustomerRegistered),
    /// A customer of another system was taken over, with the limit it had there.
    CustomerImported(CustomerImported),
    /// An application was approved; the loan's own stream begins in the same transaction.
    LoanApproved(Box<LoanApproved>),
    /// An application was declined.
    LoanDeclined(Box<LoanDeclined>),
    /// A loan of another system was taken over with its customer.
    LoanCarriedOver(LoanCarriedOver),
    /// A loan was repaid in part or in full; the loan's own stream says how, in the same transaction.
    RepaymentRecorded(RepaymentRecorded),
    /// It earns another income than was known; its limit was computed anew.
    MonthlyIncomeChanged(MonthlyIncomeChanged),
    /// It is reached under another phone number.
    PhoneNumberChanged(PhoneNumberChanged),
    /// A repayment was reversed; the loan's own stream says how, in the same transaction.
    RepaymentReversalRecorded(RepaymentReversalRecorded),
    /// A loan was written off; the loan's own stream says with how much, in the same transaction.
    LoanWriteOffRecorded(LoanWriteOffRecorded),
}

/// A new customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRegistered {
    /// Who.
    pub customer_id: CustomerId,
    /// All that is personal about it.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// Rupees.
    pub approved_limit: Money,
    /// When.
    pub registered_at: DateTime<Utc>,
}

/// A customer taken over from another system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerImported {
    /// Who.
    pub customer_id: CustomerId,
    /// The id in the other system, where it could not be kept.
    pub external_id: Option<String>,
    /// All that is personal about it.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// Rupees, as it stood there.
    pub approved_limit: Money,
    /// What the other system said was owed, in rupees, where it said so.
    pub current_debt: Option<Money>,
    /// When.
    pub imported_at: DateTime<Utc>,
}

/// An approved application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanApproved {
    /// Which decision.
    pub decision_id: DecisionId,
    /// Everything the decision was taken from, and why.
    pub assessment: Assessment,
    /// The loan that it opens.
    pub loan: LoanRecord,
    /// When.
    pub decided_at: DateTime<Utc>,
}

/// A declined application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanDeclined {
    /// Which decision.
    pub decision_id: DecisionId,
    /// Everything the decision was taken from, and why.
    pub assessment: Assessment,
    /// When.
    pub decided_at: DateTime<Utc>,
}

/// A loan taken over with its customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanCarriedOver {
    /// What the score needs of it.
    pub loan: LoanRecord,
    /// When.
    pub imported_at: DateTime<Utc>,
}

/// What a repayment means for credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepaymentRecorded {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Of which loan.
    pub loan_id: LoanId,
    /// The loan's instalments paid by their due date, after it.
    pub instalments_paid_on_time: u16,
    /// The day it settled the loan, where it did.
    pub settled_on: Option<NaiveDate>,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// Another income.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthlyIncomeChanged {
    /// Whose.
    pub customer_id: CustomerId,
    /// Rupees a month from now on.
    pub monthly_income: MonthlyIncome,
    /// Rupees: computed from that income, also where another system had set the limit before.
    pub approved_limit: Money,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// Another phone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneNumberChanged {
    /// Whose.
    pub customer_id: CustomerId,
    /// All that is personal about the change.
    pub personal: ContactData,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// What a reversed repayment means for credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepaymentReversalRecorded {
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// Of which loan.
    pub loan_id: LoanId,
    /// The loan's instalments paid by their due date, by what remains.
    pub instalments_paid_on_time: u16,
    /// The day it was settled, where what remains settles it all the same.
    pub settled_on: Option<NaiveDate>,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// What a write-off means for credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanWriteOffRecorded {
    /// Which loan.
    pub loan_id: LoanId,
    /// The business day of it.
    pub written_off_on: NaiveDate,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// A decision as an event tells it.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// Which decision.
    pub decision_id: DecisionId,
    /// How it came about.
    pub assessment: &'a Assessment,
    /// The loan that it opens, where it was approved.
    pub loan: Option<&'a LoanRecord>,
    /// When.
    pub decided_at: DateTime<Utc>,
}

impl CustomerEvent {
    /// The credit decision, where the event is one.
    #[must_use]
    pub fn decision(&self) -> Option<Decided<'_>> {
        match self {
            Self::LoanApproved(approved) => Some(Decided {
                decision_id: approved.decision_id,
                assessment: &approved.assessment,
                loan: Some(&approved.loan),
                decided_at: approved.decided_at,
            }),
            Self::LoanDeclined(declined) => Some(Decided {
                decision_id: declined.decision_id,
                assessment: &declined.assessment,
                loan: None,
                decided_at: declined.decided_at,
            }),
            Self::CustomerRegistered(_)
            | Self::CustomerImported(_)
            | Self::LoanCarriedOver(_)
            | Self::RepaymentRecorded(_)
            | Self::MonthlyIncomeChanged(_)
            | Self::PhoneNumberChanged(_)
            | Self::RepaymentReversalRecorded(_)
            | Self::LoanWriteOffRecorded(_) => None,
        }
    }
}

impl DomainEvent for CustomerEvent {
    fn event_type(&self) -> String {
        match self {
            Self::CustomerRegistered(_) => "CustomerRegistered",
            Self::CustomerImported(_) => "CustomerImported",
            Self::LoanApproved(_) => "LoanApproved",
            Self::LoanDeclined(_) => "LoanDeclined",
            Self::LoanCarriedOver(_) => "LoanCarriedOver",
            Self::RepaymentRecorded(_) => "RepaymentRecorded",
            Self::MonthlyIncomeChanged(_) => "MonthlyIncomeChanged",
            Self::PhoneNumberChanged(_) => "PhoneNumberChanged",
            Self::RepaymentReversalRecorded(_) => "RepaymentReversalRecorded",
            Self::LoanWriteOffRecorded(_) => "LoanWriteOffRecorded",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::CustomerRegistered(_)
            | Self::CustomerImported(_)
            | Self::LoanApproved(_)
            | Self::LoanDeclined(_)
            | Self::LoanCarriedOver(_)
            | Self::RepaymentRecorded(_)
            | Self::MonthlyIncomeChanged(_)
            | Self::PhoneNumberChanged(_)
            | Self::RepaymentReversalRecorded(_)
            | Self::LoanWriteOffRecorded(_) => "1.0",
        }
        .to_owned()
    }
}
