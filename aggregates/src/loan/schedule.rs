//! The schedule that a loan follows, and how far a sum of repayments gets along it.
//!
//! Repayments are allocated in the schedule's order: the oldest unpaid instalment first, within it interest before
//! principal. So the sum of all that was paid says everything, and no repayment has to be kept to allocate the next.
//! What is paid ahead pays the instalments that follow, as they stand: paying early saves no interest, the total to
//! repay is always the schedule's, and whatever way it is paid, the loan is settled at exactly zero.
//!
//! A schedule is a pure function of the terms, for loans opened here and imported ones alike. The instalment is taken
//! as it stands in the terms; of a loan opened here it is the annuity, an imported one may have any other:
//! - Too low an instalment leaves a balance, which the last instalment pays off with its interest. Interest that an
//!   instalment does not cover is not charged, so the balance never grows.
//! - A higher one lowers the last instalment. If it would pay the balance off before the last month, the other system
//!   asked for more than the stated rate (flat interest, or charges within the instalment). It stands for the whole
//!   tenure all the same, or loans that run there would be settled here: the balance falls as the annuity's does, and
//!   all that the instalment asks beyond that is interest.
//!
//! Due dates follow from start and tenure, also where an imported loan gives another end.

use chrono::NaiveDate;

use crate::calendar::months_after;
use crate::instalments::{Instalment, instalment, schedule, schedule_at};
use crate::loan::LoanTerms;
use crate::money::{Money, OutOfRange};

/// An instalment and the day it falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledInstalment {
    /// Its number, interest and principal, and the balance after it.
    pub instalment: Instalment,
    /// The last day on which it is paid on time. Beyond the calendar's end it is the calendar's last.
    pub due_on: NaiveDate,
}

/// What has been paid of one instalment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaidPart {
    /// Of its interest, in rupees.
    pub interest: Money,
    /// Of its principal, in rupees.
    pub principal: Money,
}

/// How far a sum of repayments gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Instalments paid in full, from the first on. One of nothing is paid with the one before it.
    pub instalments_paid: u16,
    /// Interest paid, in rupees.
    pub interest: Money,
    /// Principal repaid, in rupees.
    pub principal: Money,
    /// What is left to pay, interest included, in rupees; zero when the loan is settled.
    pub outstanding: Money,
    /// What of it is principal, in rupees.
    pub outstanding_principal: Money,
}

/// Every instalment of a loan, one a month, ending at exactly zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    instalments: Vec<ScheduledInstalment>,
    principal: Money,
    total: Money,
}

impl ScheduledInstalment {
    /// Whether it is on time when it is paid in full on that day. Nobody is late with an instalment of nothing.
    #[must_use]
    pub fn is_on_time(&self, paid_on: NaiveDate) -> bool {
        paid_on <= self.due_on || (self.instalment.interest.is_zero() && self.instalment.principal.is_zero())
    }
}

impl Schedule {
    /// The schedule of a loan that runs on these terms.
    ///
    /// # Errors
    /// When a sum leaves the range of [`Money`]: not with the annuity as instalment, but an imported one is not bounded.
    pub fn of(terms: &LoanTerms) -> Result<Self, OutOfRange> {
        let dated = |instalment: Instalment| {
            let due_on = months_after(terms.started_on, instalment.number).unwrap_or(NaiveDate::MAX);
            ScheduledInstalment { instalment, due_on }
        };
        let instalments: Vec<_> = lines(terms)?.into_iter().map(dated).collect();
        let total = sum(&instalments)?;
        Ok(Self { instalments, principal: terms.principal.money(), total })
    }

    /// All instalments in order, as many as the tenure has months.
    #[must_use]
    pub fn instalments(&self) -> &[ScheduledInstalment] {
        &self.instalments
    }

    /// Everything there is to pay, interest included, in rupees.
    #[must_use]
    pub const fn total(&self) -> Money {
        self.total
    }

    /// What the first instalments come to, in rupees: all of them where there are not as many.
    ///
    /// # Errors
    /// Never where the whole schedule is within range; the sum is checked all the same.
    pub fn total_of_first(&self, count: u16) -> Result<Money, OutOfRange> {
        let count = usize::from(count).min(self.instalments.len());
        sum(self.instalments.iter().take(count))
    }

    /// How a sum of repayments is spread over the instalments, one part for each of them.
    pub fn paid_parts(&self, paid: Money) -> impl Iterator<Item = PaidPart> + '_ {
        let mut left = paid;
        self.instalments.iter().map(move |scheduled| {
            let mut take = |due: Money| {
                let part = due.min(left);
                left = left.minus(part).unwrap_or(Money::ZERO);
                part
            };
            let interest = take(scheduled.instalment.interest);
            let principal = take(scheduled.instalment.principal);
            PaidPart { interest, principal }
        })
    }

    /// How far a sum of repayments gets.
    ///
    /// # Errors
    /// When more is paid than there is to pay.
    pub fn position(&self, paid: Money) -> Result<Position, OutOfRange> {
        let outstanding = self.total.minus(paid).ok_or(OutOfRange)?;
        let (mut interest, mut principal) = (Money::ZERO, Money::ZERO);
        let (mut instalments_paid, mut paid_so_far) = (0, true);
        for (scheduled, part) in self.instalments.iter().zip(self.paid_parts(paid)) {
            let due = scheduled.instalment;
            interest = interest.plus(part.interest)?;
            principal = principal.plus(part.principal)?;
            paid_so_far = paid_so_far && part.interest == due.interest && part.principal == due.principal;
            instalments_paid += u16::from(paid_so_far);
        }
        let outstanding_principal = self.principal.minus(principal).ok_or(OutOfRange)?;
        Ok(Position { instalments_paid, interest, principal, outstanding, outstanding_principal })
    }
}

/// The instalments without their dates.
fn lines(terms: &LoanTerms) -> Result<Vec<Instalment>, OutOfRange> {
    let LoanTerms { principal, interest_rate, tenure, instalment: asked, .. } = *terms;
    let as_it_stands = schedule_at(principal, interest_rate, tenure, asked)?;
    let paid_off_early = as_it_stands.iter().rev().nth(1).is_some_and(|last_but_one| last_but_one.balance.is_zero());
    if !paid_off_early || asked <= instalment(principal, interest_rate, tenure)? {
        return Ok(as_it_stands);
    }
    let stretched = |line: Instalment| {
        let rest = asked.minus(line.principal).unwrap_or(Money::ZERO);
        Instalment { interest: rest.max(line.interest), ..line }
    };
    Ok(schedule(principal, interest_rate, tenure)?.into_iter().map(stretched).collect())
}

fn sum<'a>(instalments: impl IntoIterator<Item = &'a ScheduledInstalment>) -> Result<Money, OutOfRange> {
    let mut instalments = instalments.into_iter();
    instalments.try_fold(Money::ZERO, |sum, scheduled| sum.plus(scheduled.instalment.amount()?))
}
