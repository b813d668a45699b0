//! A loan's account: its schedule, and what its repayments have paid of it.
//!
//! Repayments are allocated in their order along the schedule's order: the oldest unpaid instalment first, within it
//! interest before principal. What is paid ahead pays the instalments that follow, as they stand: it saves no interest.
//! An early settlement does: it pays all principal that is left and the interest of the months that have begun, and
//! what the later months would have asked is waived.
//!
//! An account is a pure function of terms, instalments paid before the loan was taken over, and repayments. The loan
//! decides from it and readers show it, so that both say the same. Of a past day it is told by giving it the repayments
//! paid up to that day.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::loan::schedule::{Schedule, ScheduledInstalment};
use crate::loan::{LoanTerms, RepaymentRecord};
use crate::money::{Money, OutOfRange};

/// How one instalment stands on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstalmentState {
    /// Nothing of it is left to pay.
    Paid,
    /// Some of it is paid, and its due date has not passed.
    PartlyPaid,
    /// Its month has begun, and its due date has not passed.
    Due,
    /// Something of it is left to pay, and its due date has passed.
    Overdue,
    /// Its month has not begun.
    Upcoming,
}

/// An instalment, and what has been paid of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstalmentProgress {
    /// What is asked, and when.
    pub scheduled: ScheduledInstalment,
    /// Rupees of its interest that are paid.
    pub interest_paid: Money,
    /// Rupees of its principal that are paid.
    pub principal_paid: Money,
    /// Rupees of its interest that an early settlement waived.
    pub interest_waived: Money,
    /// The day it was paid in full; `None` while it is not, and where it was paid before the loan was taken over.
    pub paid_on: Option<NaiveDate>,
}

/// What settles a loan early on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Rupees to pay: `interest` and `principal` together. Zero when nothing is left to pay.
    pub amount: Money,
    /// Rupees of unpaid interest of the months that have begun.
    pub interest: Money,
    /// Rupees of unpaid principal.
    pub principal: Money,
    /// Rupees of unpaid interest of the months that have not begun: not asked for.
    pub interest_waived: Money,
}

/// What is overdue on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The due date of the oldest instalment that is not paid in full.
    pub since: NaiveDate,
    /// How many instalments are overdue.
    pub instalments: u16,
    /// Rupees: `interest` and `principal` together.
    pub amount: Money,
    /// Rupees of it that are interest.
    pub interest: Money,
    /// Rupees of it that are principal.
    pub principal: Money,
}

/// How a repayment is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Rupees of it that pay interest.
    pub interest: Money,
    /// Rupees of it that lower the balance.
    pub principal: Money,
    /// Whether it settles the loan early.
    pub settles_loan_early: bool,
    /// Rupees of interest that it waives.
    pub interest_waived: Money,
}

/// A schedule and what is paid of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    instalments: Vec<InstalmentProgress>,
    /// The first instalment that no payment has paid in full, from 0.
    next: usize,
    instalments_paid_on_time: u16,
    outstanding: Money,
    outstanding_principal: Money,
    interest_waived: Money,
    last_paid_on: Option<NaiveDate>,
}

impl InstalmentProgress {
    /// Rupees of its interest that are left to pay.
    #[must_use]
    pub fn interest_left(&self) -> Money {
        let asked = self.scheduled.instalment.interest.minus(self.interest_waived);
        asked.and_then(|asked| asked.minus(self.interest_paid)).unwrap_or(Money::ZERO)
    }

    /// Rupees of its principal that are left to pay.
    #[must_use]
    pub fn principal_left(&self) -> Money {
        self.scheduled.instalment.principal.minus(self.principal_paid).unwrap_or(Money::ZERO)
    }

    /// Whether nothing of it is left to pay.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.interest_left().is_zero() && self.principal_left().is_zero()
    }

    /// Whether it was paid by its due date; `None` while it is not paid. What was paid before the loan was taken over
    /// was counted as paid on time there.
    #[must_use]
    pub fn is_on_time(&self) -> Option<bool> {
        self.is_paid().then(|| self.paid_on.is_none_or(|paid_on| self.scheduled.is_on_time(paid_on)))
    }

    /// How it stands on a day, by what is paid.
    #[must_use]
    pub fn state(&self, on: NaiveDate) -> InstalmentState {
        if self.is_paid() {
            InstalmentState::Paid
        } else if self.scheduled.due_on < on {
            InstalmentState::Overdue
        } else if !(self.interest_paid.is_zero() && self.principal_paid.is_zero()) {
            InstalmentState::PartlyPaid
        } else if self.scheduled.has_begun(on) {
            InstalmentState::Due
        } else {
            InstalmentState::Upcoming
        }
    }

    /// Pays what it can of it; answers interest and principal.
    fn pay(&mut self, amount: Money) -> Result<(Money, Money), OutOfRange> {
        let interest = self.interest_left().min(amount);
        let principal = self.principal_left().min(amount.minus(interest).ok_or(OutOfRange)?);
        self.interest_paid = self.interest_paid.plus(interest)?;
        self.principal_paid = self.principal_paid.plus(principal)?;
        Ok((interest, principal))
    }
}

impl Account {
    /// The account of a loan. `paid_before` instalments were paid before it was taken over; `repayments` are in their
    /// order, and those that were reversed do not count.
    ///
    /// # Errors
    /// When a sum leaves the range of [`Money`], or more is repaid than there is to pay.
    pub fn of(terms: &LoanTerms, paid_before: u16, repayments: &[RepaymentRecord]) -> Result<Self, OutOfRange> {
        let mut account = Self::untouched(&Schedule::of(terms)?, paid_before)?;
        for repayment in repayments.iter().filter(|repayment| repayment.reversed.is_none()) {
            account.take(repayment)?;
        }
        Ok(account)
    }

    /// The account before any repayment. More instalments than there are count as all of them.
    ///
    /// # Errors
    /// Never where the whole schedule is within range; the sums are checked all the same.
    pub fn untouched(schedule: &Schedule, paid_before: u16) -> Result<Self, OutOfRange> {
        let next = usize::from(paid_before).min(schedule.instalments().len());
        let progress = |(place, scheduled): (usize, &ScheduledInstalment)| {
            let paid = |due: Money| if place < next { due } else { Money::ZERO };
            InstalmentProgress {
                scheduled: *scheduled,
                interest_paid: paid(scheduled.instalment.interest),
                principal_paid: paid(scheduled.instalment.principal),
                interest_waived: Money::ZERO,
                paid_on: None,
            }
        };
        let instalments: Vec<_> = schedule.instalments().iter().enumerate().map(progress).collect();
        let (mut outstanding, mut outstanding_principal) = (Money::ZERO, Money::ZERO);
        for scheduled in schedule.instalments().iter().skip(next) {
            outstanding = outstanding.plus(scheduled.instalment.amount()?)?;
            outstanding_principal = outstanding_principal.plus(scheduled.instalment.principal)?;
        }
        Ok(Self {
            instalments,
            next,
            instalments_paid_on_time: count(next),
            outstanding,
            outstanding_principal,
            interest_waived: Money::ZERO,
            last_paid_on: None,
        })
    }

    /// Every instalment in order, with what is paid of it.
    #[must_use]
    pub fn instalments(&self) -> &[InstalmentProgress] {
        &self.instalments
    }

    /// Instalments paid in full, from the first on, those paid before the loan was taken over included. One of nothing
    /// is paid with the one before it.
    #[must_use]
    pub fn instalments_paid(&self) -> u16 {
        count(self.next)
    }

    /// Of those, the ones paid by their due date.
    #[must_use]
    pub const fn instalments_paid_on_time(&self) -> u16 {
        self.instalments_paid_on_time
    }

    /// Rupees left to pay, interest included; zero when the loan is settled.
    #[must_use]
    pub const fn outstanding(&self) -> Money {
        self.outstanding
    }

    /// Rupees of those that are principal.
    #[must_use]
    pub const fn outstanding_principal(&self) -> Money {
        self.outstanding_principal
    }

    /// Rupees of interest that an early settlement waived.
    #[must_use]
    pub const fn interest_waived(&self) -> Money {
        self.interest_waived
    }

    /// The day of the last repayment.
    #[must_use]
    pub const fn last_paid_on(&self) -> Option<NaiveDate> {
        self.last_paid_on
    }

    /// The due date of the first instalment that is not paid in full; `None` when nothing is left to pay.
    #[must_use]
    pub fn next_due_on(&self) -> Option<NaiveDate> {
        self.left().next().map(|instalment| instalment.scheduled.due_on)
    }

    /// What settles the loan early on a day.
    ///
    /// # Errors
    /// Never where the whole schedule is within range; the sums are checked all the same.
    pub fn settlement(&self, on: NaiveDate) -> Result<Settlement, OutOfRange> {
        let (mut interest, mut principal, mut interest_waived) = (Money::ZERO, Money::ZERO, Money::ZERO);
        for instalment in self.left() {
            principal = principal.plus(instalment.principal_left())?;
            let counts = if instalment.scheduled.has_begun(on) { &mut interest } else { &mut interest_waived };
            *counts = counts.plus(instalment.interest_left())?;
        }
        Ok(Settlement { amount: interest.plus(principal)?, interest, principal, interest_waived })
    }

    /// What is overdue on a day, and since when; `None` when nothing is.
    ///
    /// # Errors
    /// Never where the whole schedule is within range; the sums are checked all the same.
    pub fn overdue(&self, on: NaiveDate) -> Result<Option<Overdue>, OutOfRange> {
        let mut overdue: Option<Overdue> = None;
        for instalment in self.left().take_while(|instalment| instalment.scheduled.due_on < on) {
            let since = instalment.scheduled.due_on;
            let (interest, principal) = (instalment.interest_left(), instalment.principal_left());
            let none =
                Overdue { since, instalments: 0, amount: Money::ZERO, interest: Money::ZERO, principal: Money::ZERO };
            let so_far = overdue.unwrap_or(none);
            overdue = Some(Overdue {
                since: so_far.since,
                instalments: so_far.instalments + 1,
                amount: so_far.amount.plus(interest)?.plus(principal)?,
                interest: so_far.interest.plus(interest)?,
                principal: so_far.principal.plus(principal)?,
            });
        }
        Ok(overdue)
    }

    /// Takes a repayment. One that settled the loan early does so again where it is enough; else it pays what it can.
    ///
    /// # Errors
    /// When more is repaid than there is to pay.
    pub fn take(&mut self, repayment: &RepaymentRecord) -> Result<Split, OutOfRange> {
        let (amount, paid_on) = (repayment.amount.money(), repayment.paid_on);
        if repayment.settles_loan_early {
            let settlement = self.settlement(paid_on)?;
            if settlement.amount == amount {
                return self.settle(settlement, paid_on);
            }
        }
        self.repay(amount, paid_on)
    }

    /// Takes an ordinary repayment.
    pub(super) fn repay(&mut self, amount: Money, paid_on: NaiveDate) -> Result<Split, OutOfRange> {
        self.outstanding = self.outstanding.minus(amount).ok_or(OutOfRange)?;
        let (mut left, mut interest, mut principal) = (amount, Money::ZERO, Money::ZERO);
        while let Some(instalment) = self.instalments.get_mut(self.next) {
            let (of_interest, of_principal) = instalment.pay(left)?;
            interest = interest.plus(of_interest)?;
            principal = principal.plus(of_principal)?;
            left = left.minus(of_interest).and_then(|left| left.minus(of_principal)).ok_or(OutOfRange)?;
            if !instalment.is_paid() {
                break;
            }
            self.paid_in_full(paid_on);
        }
        self.outstanding_principal = self.outstanding_principal.minus(principal).ok_or(OutOfRange)?;
        self.last_paid_on = Some(paid_on);
        Ok(Split { interest, principal, settles_loan_early: false, interest_waived: Money::ZERO })
    }

    /// Takes what settles the loan early.
    pub(super) fn settle(&mut self, settlement: Settlement, paid_on: NaiveDate) -> Result<Split, OutOfRange> {
        let Settlement { interest, principal, interest_waived, .. } = settlement;
        while let Some(instalment) = self.instalments.get_mut(self.next) {
            if !instalment.scheduled.has_begun(paid_on) {
                instalment.interest_waived = instalment.interest_left();
            }
            instalment.pay(instalment.interest_left().plus(instalment.principal_left())?)?;
            self.paid_in_full(paid_on);
        }
        self.outstanding = Money::ZERO;
        self.outstanding_principal = Money::ZERO;
        self.interest_waived = interest_waived;
        self.last_paid_on = Some(paid_on);
        Ok(Split { interest, principal, settles_loan_early: true, interest_waived })
    }

    /// The next instalment has been paid in full.
    fn paid_in_full(&mut self, paid_on: NaiveDate) {
        if let Some(instalment) = self.instalments.get_mut(self.next) {
            instalment.paid_on = Some(paid_on);
            self.instalments_paid_on_time += u16::from(instalment.scheduled.is_on_time(paid_on));
            self.next += 1;
        }
    }

    /// The instalments of which something is left to pay.
    fn left(&self) -> impl Iterator<Item = &InstalmentProgress> {
        self.instalments.iter().skip(self.next).filter(|instalment| !instalment.is_paid())
    }
}

/// A count of instalments; there are as many as a tenure has months.
fn count(instalments: usize) -> u16 {
    u16::try_from(instalments).unwrap_or(u16::MAX)
}
