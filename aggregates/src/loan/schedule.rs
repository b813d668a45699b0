//! The schedule that a loan follows: what falls due each month, to the last. What is paid of it stands in
//! [`super::account`].
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
use rust_decimal::Decimal;

use crate::calendar::months_after;
use crate::instalments::{Instalment, instalment, schedule, schedule_at};
use crate::loan::LoanTerms;
use crate::money::{Money, OutOfRange};

/// An instalment and the day it falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledInstalment {
    /// Its number, interest and principal, and the balance after it.
    pub instalment: Instalment,
    /// The due date of the one before, the loan's start for the first: its month begins the day after.
    pub after: NaiveDate,
    /// The last day on which it is paid on time. Beyond the calendar's end it is the calendar's last.
    pub due_on: NaiveDate,
}

/// Every instalment of a loan, one a month, ending at exactly zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    instalments: Vec<ScheduledInstalment>,
    total: Money,
}

impl ScheduledInstalment {
    /// Whether its month has begun on that day, so that its interest is earned.
    #[must_use]
    pub fn has_begun(&self, on: NaiveDate) -> bool {
        self.after < on
    }

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
            let due = |number| due_on(terms.started_on, number);
            ScheduledInstalment { instalment, after: due(instalment.number - 1), due_on: due(instalment.number) }
        };
        let instalments: Vec<_> = lines(terms)?.into_iter().map(dated).collect();
        let total = sum(&instalments)?;
        Ok(Self { instalments, total })
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
}

/// The day on which an instalment falls due; the calendar's last beyond its end.
#[must_use]
pub fn due_on(started_on: NaiveDate, number: u16) -> NaiveDate {
    months_after(started_on, number).unwrap_or(NaiveDate::MAX)
}

/// The day on which the first instalment falls due of which something is left to pay, where something is, told by how
/// many are paid: all that a reader needs who does not keep the whole account. Where no instalment is asked but the
/// last, those before it are of nothing.
#[must_use]
pub fn next_due_on(started_on: NaiveDate, tenure: u16, asks_only_the_last: bool, instalments_paid: u16) -> NaiveDate {
    let number = if asks_only_the_last { tenure } else { instalments_paid.saturating_add(1).min(tenure) };
    due_on(started_on, number)
}

/// Whether the first instalments are all that there is to pay. The schedule is asked only where they may be.
#[must_use]
pub fn is_repaid_by_first(terms: &LoanTerms, count: u16) -> bool {
    if count >= terms.tenure.months() {
        return true;
    }
    // Instalments before the last repay no more than they ask.
    let at_most = terms.instalment.amount().checked_mul(Decimal::from(count));
    if at_most.is_some_and(|at_most| at_most < terms.principal.money().amount()) {
        return false;
    }
    Schedule::of(terms).is_ok_and(|schedule| schedule.total_of_first(count) == Ok(schedule.total()))
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
