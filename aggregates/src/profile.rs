//! What credit knows of a customer: income, limit and loans, and how that stands on a given day.
//!
//! [`CreditProfile`] is folded from the customer's events, by the aggregate to decide and by the credit-profile read
//! model to answer eligibility: one fold, one arithmetic. [`CreditStanding`] is its sum on one day, small enough to
//! be recorded with every decision and enough to take that decision again, under the same policy or another.

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::calendar::months_passed;
use crate::ids::LoanId;
use crate::money::{Money, OutOfRange};
use crate::person::MonthlyIncome;
use crate::terms::{Principal, Tenure};

/// What the score needs to know of one loan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanRecord {
    /// Which loan.
    pub loan_id: LoanId,
    /// The amount lent.
    pub principal: Principal,
    /// What is due each month.
    pub instalment: Money,
    /// Months to repay.
    pub tenure: Tenure,
    /// The day it was granted.
    pub started_on: NaiveDate,
    /// The last due date.
    pub ends_on: NaiveDate,
    /// Instalments paid by their due date.
    pub instalments_paid_on_time: u16,
    /// The day of the repayment that settled it. Absent from what was stored before there were repayments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_on: Option<NaiveDate>,
    /// The day it was written off. It stays owed and stays exposure. Absent from what was stored before there were
    /// write-offs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_off_on: Option<NaiveDate>,
}

impl LoanRecord {
    /// Whether it counts towards exposure on that day: not settled by then, and not at its end before it.
    #[must_use]
    pub fn is_current(&self, on: NaiveDate) -> bool {
        self.settled_on.is_none_or(|settled_on| settled_on > on) && self.ends_on >= on
    }
}

/// Income, limit and loans of one customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditProfile {
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// What may be lent in all, in rupees.
    pub approved_limit: Money,
    /// Every loan ever taken, in the order they became known.
    pub loans: Vec<LoanRecord>,
}

/// A profile's sum as of one day: the inputs of a credit decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditStanding {
    /// The day.
    pub as_of: NaiveDate,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// What may be lent in all, in rupees.
    pub approved_limit: Money,
    /// Loans ever taken.
    pub loans_taken: u32,
    /// Loans that started in the day's calendar year.
    pub loans_started_this_year: u32,
    /// Instalments fallen due, over all loans.
    pub instalments_due: u32,
    /// Of those, the ones paid by their due date.
    pub instalments_paid_on_time: u32,
    /// Loans that run on the day.
    pub current_loans: u32,
    /// Sum of the current loans' amounts, in rupees.
    pub current_principal: Money,
    /// Sum of the current loans' instalments, in rupees a month.
    pub current_instalments: Money,
}

impl CreditProfile {
    /// A customer without loans.
    #[must_use]
    pub const fn new(monthly_income: MonthlyIncome, approved_limit: Money) -> Self {
        Self { monthly_income, approved_limit, loans: Vec::new() }
    }

    /// Whether the customer has ever taken that loan.
    #[must_use]
    pub fn has_loan(&self, loan_id: LoanId) -> bool {
        self.loans.iter().any(|loan| loan.loan_id == loan_id)
    }

    /// The profile's sum as of a day.
    ///
    /// # Errors
    /// When a sum leaves the range of [`Money`].
    pub fn standing(&self, as_of: NaiveDate) -> Result<CreditStanding, OutOfRange> {
        let mut standing = CreditStanding {
            as_of,
            monthly_income: self.monthly_income,
            approved_limit: self.approved_limit,
            loans_taken: 0,
            loans_started_this_year: 0,
            instalments_due: 0,
            instalments_paid_on_time: 0,
            current_loans: 0,
            current_principal: Money::ZERO,
            current_instalments: Money::ZERO,
        };
        for loan in &self.loans {
            standing.count(loan)?;
        }
        Ok(standing)
    }
}

impl CreditStanding {
    fn count(&mut self, loan: &LoanRecord) -> Result<(), OutOfRange> {
        let due = months_passed(loan.started_on, self.as_of, loan.tenure.months());
        self.loans_taken += 1;
        self.loans_started_this_year += u32::from(loan.started_on.year() == self.as_of.year());
        self.instalments_due += u32::from(due);
        self.instalments_paid_on_time += u32::from(loan.instalments_paid_on_time.min(due));
        if loan.is_current(self.as_of) {
            self.current_loans += 1;
            self.current_principal = self.current_principal.plus(loan.principal.money())?;
            self.current_instalments = self.current_instalments.plus(loan.instalment)?;
        }
        Ok(())
    }
}
