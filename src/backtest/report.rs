//! What a backtest says, as the API answers it and the command line prints it.

use aggregates::policy::PolicyRef;
use aggregates::policy::decision::ReasonCode;
use projections::decisions::Span;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use utoipa::ToSchema;

use super::comparison::{self, Changes, Comparison, Rates};
use crate::http::application;
use crate::http::number::Number;

/// Decimals of an average change.
const CHANGE_DECIMALS: u32 = 4;

/// What its numbers mean.
const NOTE: &str = "Each decision is taken again by itself, from the standing that was recorded with it. Loans that \
                    the other policy would have granted or refused before are not added to it or taken from it.";

/// The recorded decisions under another policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestReport, examples(json!({
    "policy": {"id": "literal-1", "digest": "c53281f2125cc5e63bd22f7456541a568aaab4ee65fe5c1a3115a8c7c2912c43"},
    "decided_after": "2025-12-31T18:30:00+00:00", "decided_before": null, "customer_id": null,
    "decisions": 3, "loan_amount": 900000,
    "still_approved": {"decisions": 1, "loan_amount": 100000}, "still_declined": {"decisions": 1, "loan_amount": 300000},
    "newly_approved": {"decisions": 1, "loan_amount": 500000}, "newly_declined": {"decisions": 0, "loan_amount": 0},
    "rates": {"same": 1, "raised": {"decisions": 0, "average_change": 0},
              "lowered": {"decisions": 0, "average_change": 0}},
    "by_reason": [
        {"recorded_reason": "score_too_low", "reason": "score_too_low", "decisions": 1, "loan_amount": 300000},
        {"recorded_reason": "limit_exceeded", "reason": "within_policy", "decisions": 1, "loan_amount": 500000},
        {"recorded_reason": "within_policy", "reason": "within_policy", "decisions": 1, "loan_amount": 100000},
    ],
    "by_month": [{
        "month": "2026-03", "decisions": 3,
        "still_approved": {"decisions": 1, "loan_amount": 100000},
        "still_declined": {"decisions": 1, "loan_amount": 300000},
        "newly_approved": {"decisions": 1, "loan_amount": 500000},
        "newly_declined": {"decisions": 0, "loan_amount": 0},
    }],
    "examples": {"newly_approved": [{
        "decision_id": 17, "customer_id": 10001, "as_of": "2026-03-31", "loan_amount": 500000,
        "recorded_reason": "limit_exceeded", "recorded_credit_score": 61.5, "reason": "within_policy",
        "message": "Approved at 14% a year, with a credit score of 61.50.", "credit_score": 61.5,
    }], "newly_declined": []},
    "note": "Each decision is taken again by itself, from the standing that was recorded with it.",
})))]
pub struct Report {
    /// The other policy.
    pub policy: PolicyName,
    /// Decisions since this instant; null for all.
    #[schema(format = DateTime, required)]
    pub decided_after: Option<String>,
    /// Decisions before this instant; null for all.
    #[schema(format = DateTime, required)]
    pub decided_before: Option<String>,
    /// Decisions over this customer's applications; null for everybody's.
    #[schema(required)]
    pub customer_id: Option<i64>,
    /// How many were taken again.
    pub decisions: u64,
    /// The sum of what was asked for, in rupees.
    pub loan_amount: Number,
    /// How they fell, and would fall.
    #[serde(flatten)]
    pub ways: Ways,
    /// The rates of those that are approved both times.
    pub rates: RateChanges,
    /// By the reason that decided, and the one that would decide.
    pub by_reason: Vec<ByReason>,
    /// By the month in which they were taken.
    pub by_month: Vec<ByMonth>,
    /// Some of those that would fall otherwise, the oldest first.
    pub examples: Examples,
    /// What these numbers mean.
    pub note: &'static str,
}

/// Which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PolicyName)]
pub struct PolicyName {
    /// Its name and version.
    pub id: String,
    /// SHA-256 of its text.
    pub digest: String,
}

/// How many decisions, over which amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestTally)]
pub struct Tally {
    /// How many.
    pub decisions: u64,
    /// The sum of what was asked for, in rupees.
    pub loan_amount: Number,
}

/// How decisions fell, and would fall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestWays)]
pub struct Ways {
    /// Approved, and approved again.
    pub still_approved: Tally,
    /// Declined, and declined again.
    pub still_declined: Tally,
    /// Declined, and approved under the other policy.
    pub newly_approved: Tally,
    /// Approved, and declined under the other policy.
    pub newly_declined: Tally,
}

/// How the rates of loans would change that are approved both times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestRateChanges)]
pub struct RateChanges {
    /// How many at the same rate.
    pub same: u64,
    /// Those at a higher one.
    pub raised: RateChange,
    /// Those at a lower one.
    pub lowered: RateChange,
}

/// By how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestRateChange)]
pub struct RateChange {
    /// How many.
    pub decisions: u64,
    /// The mean change, in percent a year; 0 without any.
    pub average_change: Number,
}

/// Decisions with the same reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestByReason)]
pub struct ByReason {
    /// The gravest reason that was recorded.
    #[schema(value_type = application::ReasonCode)]
    pub recorded_reason: ReasonCode,
    /// The gravest under the other policy.
    #[schema(value_type = application::ReasonCode)]
    pub reason: ReasonCode,
    /// How many.
    pub decisions: u64,
    /// The sum of what was asked for, in rupees.
    pub loan_amount: Number,
}

/// Decisions of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestByMonth)]
pub struct ByMonth {
    /// `YYYY-MM`.
    pub month: String,
    /// How many.
    pub decisions: u64,
    /// How they fell, and would fall.
    #[serde(flatten)]
    pub ways: Ways,
}

/// Decisions that would fall otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestExamples)]
pub struct Examples {
    /// Declined, and approved under the other policy.
    pub newly_approved: Vec<Example>,
    /// Approved, and declined under the other policy.
    pub newly_declined: Vec<Example>,
}

/// A decision that would fall otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestExample)]
pub struct Example {
    /// Which decision.
    pub decision_id: i64,
    /// Over whose application.
    pub customer_id: i64,
    /// The business day by which it was taken.
    #[schema(format = Date)]
    pub as_of: String,
    /// Rupees asked for.
    pub loan_amount: Number,
    /// The gravest reason that was recorded.
    #[schema(value_type = application::ReasonCode)]
    pub recorded_reason: ReasonCode,
    /// The score that was recorded.
    pub recorded_credit_score: Number,
    /// The gravest reason under the other policy.
    #[schema(value_type = application::ReasonCode)]
    pub reason: ReasonCode,
    /// The same in a sentence.
    pub message: String,
    /// The score under the other policy.
    pub credit_score: Number,
}

impl Report {
    pub(super) fn new(policy: &PolicyRef, asked: Span, comparison: Comparison) -> Self {
        let Comparison { ways, rates, by_reason, by_month, newly_approved, newly_declined, .. } = comparison;
        let all = ways.all();
        let by_reason = by_reason.into_iter().map(|((recorded_reason, reason), tally)| ByReason {
            recorded_reason,
            reason,
            decisions: tally.decisions,
            loan_amount: Number(tally.loan_amount),
        });
        let by_month = by_month.into_iter().map(|((year, month), ways)| ByMonth {
            month: format!("{year:04}-{month:02}"),
            decisions: ways.all().decisions,
            ways: ways.into(),
        });
        Self {
            policy: PolicyName { id: policy.id.clone(), digest: policy.digest.clone() },
            decided_after: asked.from.map(|at| at.to_rfc3339()),
            decided_before: asked.until.map(|at| at.to_rfc3339()),
            customer_id: asked.customer.map(i64::from),
            decisions: all.decisions,
            loan_amount: Number(all.loan_amount),
            ways: ways.into(),
            rates: rates.into(),
            by_reason: by_reason.collect(),
            by_month: by_month.collect(),
            examples: Examples {
                newly_approved: newly_approved.into_iter().map(Example::from).collect(),
                newly_declined: newly_declined.into_iter().map(Example::from).collect(),
            },
            note: NOTE,
        }
    }
}

impl From<comparison::Tally> for Tally {
    fn from(tally: comparison::Tally) -> Self {
        Self { decisions: tally.decisions, loan_amount: Number(tally.loan_amount) }
    }
}

impl From<comparison::Ways> for Ways {
    fn from(ways: comparison::Ways) -> Self {
        Self {
            still_approved: ways.still_approved.into(),
            still_declined: ways.still_declined.into(),
            newly_approved: ways.newly_approved.into(),
            newly_declined: ways.newly_declined.into(),
        }
    }
}

impl From<Rates> for RateChanges {
    fn from(Rates { same, raised, lowered }: Rates) -> Self {
        Self { same, raised: raised.into(), lowered: lowered.into() }
    }
}

impl From<Changes> for RateChange {
    fn from(Changes { decisions, sum }: Changes) -> Self {
        let average = sum.checked_div(Decimal::from(decisions)).unwrap_or_default();
        let rounded = average.round_dp_with_strategy(CHANGE_DECIMALS, RoundingStrategy::MidpointAwayFromZero);
        Self { decisions, average_change: Number(rounded) }
    }
}

impl From<comparison::Example> for Example {
    fn from(example: comparison::Example) -> Self {
        Self {
            decision_id: example.decision_id,
            customer_id: example.customer_id,
            as_of: example.as_of.to_string(),
            loan_amount: Number(example.loan_amount),
            recorded_reason: example.recorded.code,
            recorded_credit_score: Number(example.recorded_score),
            reason: example.now.code,
            message: example.now.message,
            credit_score: Number(example.score),
        }
    }
}
