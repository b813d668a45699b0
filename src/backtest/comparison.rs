//! Decision by decision: how it fell, how it would fall under the other policy, and the sums of both.

use std::collections::BTreeMap;

use aggregates::money::OutOfRange;
use aggregates::policy::Policy;
use aggregates::policy::decision::{Outcome, Reason, ReasonCode};
use chrono::{Datelike, NaiveDate};
use projections::decisions::RecordedDecision;
use rust_decimal::Decimal;

/// Why a decision cannot be taken again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// An amount leaves the range of money.
    #[error("decision {decision_id} cannot be taken again: {source}")]
    OutOfRange {
        /// Which.
        decision_id: i64,
        /// Why.
        source: OutOfRange,
    },
    /// It says not why it fell as it did.
    #[error("decision {0} has no reason")]
    WithoutReason(i64),
}

/// How a decision fell, and would fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    StillApproved,
    StillDeclined,
    NewlyApproved,
    NewlyDeclined,
}

impl Way {
    const fn of(recorded: Outcome, now: Outcome) -> Self {
        match (recorded, now) {
            (Outcome::Approved, Outcome::Approved) => Self::StillApproved,
            (Outcome::Declined, Outcome::Declined) => Self::StillDeclined,
            (Outcome::Declined, Outcome::Approved) => Self::NewlyApproved,
            (Outcome::Approved, Outcome::Declined) => Self::NewlyDeclined,
        }
    }
}

/// How many decisions, over which amount in rupees. A million of the largest loans are far below what a decimal holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) decisions: u64,
    pub(super) loan_amount: Decimal,
}

impl Tally {
    fn add(&mut self, amount: Decimal) {
        self.decisions += 1;
        self.loan_amount = self.loan_amount.saturating_add(amount);
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            decisions: self.decisions + other.decisions,
            loan_amount: self.loan_amount.saturating_add(other.loan_amount),
        }
    }
}

/// A tally for each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) still_approved: Tally,
    pub(super) still_declined: Tally,
    pub(super) newly_approved: Tally,
    pub(super) newly_declined: Tally,
}

impl Ways {
    fn add(&mut self, way: Way, amount: Decimal) {
        let tally = match way {
            Way::StillApproved => &mut self.still_approved,
            Way::StillDeclined => &mut self.still_declined,
            Way::NewlyApproved => &mut self.newly_approved,
            Way::NewlyDeclined => &mut self.newly_declined,
        };
        tally.add(amount);
    }

    pub(super) fn all(self) -> Tally {
        self.still_approved.plus(self.still_declined).plus(self.newly_approved).plus(self.newly_declined)
    }
}

/// By how much rates would change, in percent a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) decisions: u64,
    pub(super) sum: Decimal,
}

/// Rates of the loans that are approved both times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) same: u64,
    pub(super) raised: Changes,
    pub(super) lowered: Changes,
}

impl Rates {
    fn add(&mut self, change: Decimal) {
        let changes = if change.is_zero() {
            self.same += 1;
            return;
        } else if change > Decimal::ZERO {
            &mut self.raised
        } else {
            &mut self.lowered
        };
        changes.decisions += 1;
        changes.sum = changes.sum.saturating_add(change);
    }
}

/// A decision that would fall otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) decision_id: i64,
    pub(super) customer_id: i64,
    pub(super) as_of: NaiveDate,
    pub(super) loan_amount: Decimal,
    pub(super) recorded: Reason,
    pub(super) recorded_score: Decimal,
    pub(super) now: Reason,
    pub(super) score: Decimal,
}

/// What was compared so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    max_examples: usize,
    pub(super) ways: Ways,
    pub(super) rates: Rates,
    /// By the gravest reason that it had, and has under the other policy.
    pub(super) by_reason: BTreeMap<(ReasonCode, ReasonCode), Tally>,
    /// By year and month of the business day.
    pub(super) by_month: BTreeMap<(i32, u32), Ways>,
    pub(super) newly_approved: Vec<Example>,
    pub(super) newly_declined: Vec<Example>,
}

impl Comparison {
    /// Nothing yet; so many examples each way will be kept.
    #[must_use]
    pub fn new(max_examples: usize) -> Self {
        Self { max_examples, ..Self::default() }
    }

    /// Takes a decision again under a policy, from the standing that was recorded with it.
    ///
    /// # Errors
    /// [`CompareError`].
    pub fn add(&mut self, policy: &Policy, decision: &RecordedDecision) -> Result<(), CompareError> {
        let RecordedDecision { decision_id, customer_id, assessment, .. } = decision;
        let decision_id = *decision_id;
        let judged = policy
            .judge(&assessment.standing, &assessment.application)
            .map_err(|source| CompareError::OutOfRange { decision_id, source })?;
        let (Some(recorded), Some(now)) = (assessment.reasons.first(), judged.reasons.into_iter().next()) else {
            return Err(CompareError::WithoutReason(decision_id));
        };
        let way = Way::of(assessment.outcome, judged.outcome);
        let as_of = assessment.standing.as_of;
        let loan_amount = assessment.application.principal.money().amount();
        self.ways.add(way, loan_amount);
        self.by_month.entry((as_of.year(), as_of.month())).or_default().add(way, loan_amount);
        self.by_reason.entry((recorded.code, now.code)).or_default().add(loan_amount);
        let examples = match way {
            Way::StillApproved => {
                self.rates.add(judged.corrected_rate.percent() - assessment.corrected_rate.percent());
                return Ok(());
            }
            Way::StillDeclined => return Ok(()),
            Way::NewlyApproved => &mut self.newly_approved,
            Way::NewlyDeclined => &mut self.newly_declined,
        };
        if examples.len() < self.max_examples {
            examples.push(Example {
                decision_id,
                customer_id: *customer_id,
                as_of,
                loan_amount,
                recorded: recorded.clone(),
                recorded_score: assessment.score.value,
                now,
                score: judged.score.value,
            });
        }
        Ok(())
    }
}
