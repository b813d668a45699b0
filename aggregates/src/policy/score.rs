//! The credit score: 0 to 100, the sum of four weighted components, rounded half up to two decimals once.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::policy::{FULL_PERCENT, Policy};
use crate::profile::CreditStanding;

/// Decimals of a score.
pub const SCORE_DECIMALS: u32 = 2;

/// Decimals of a sum of shares that its computation gets right: endless fractions are cut at 28 digits, so a sum of
/// exactly half a hundredth would otherwise come out just below it.
const EXACT_DECIMALS: u32 = 24;

/// What a component measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentName {
    /// Instalments paid on time over instalments due.
    OnTime,
    /// Loans taken.
    TrackRecord,
    /// Loans started in the day's calendar year.
    CurrentYearActivity,
    /// The share of the approved limit that current loans leave free.
    ApprovedVolume,
}

/// One component and what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Which.
    pub name: ComponentName,
    /// Points when met in full.
    pub weight: u8,
    /// Points given, rounded half up to two decimals.
    pub points: Decimal,
}

/// How the value came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreRule {
    /// The sum of the components.
    Components,
    /// The customer has never had a loan: a fixed score.
    NoLoans,
    /// Current loans exceed the approved limit: zero.
    OverLimit,
}

/// A credit score and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100, two decimals.
    pub value: Decimal,
    /// Which rule gave the value.
    pub rule: ScoreRule,
    /// The components, whether or not a fixed rule overrode them.
    pub components: Vec<Component>,
}

impl Policy {
    /// The score of a standing.
    #[must_use]
    pub fn score(&self, standing: &CreditStanding) -> Score {
        let weights = &self.rules().weights;
        let shares = [
            (ComponentName::OnTime, weights.on_time, self.on_time_share(standing)),
            (ComponentName::TrackRecord, weights.track_record, self.track_record_share(standing)),
            (ComponentName::CurrentYearActivity, weights.current_year_activity, self.activity_share(standing)),
            (ComponentName::ApprovedVolume, weights.approved_volume, volume_share(standing)),
        ];
        let exact = |weight: u8, share: Decimal| Decimal::from(weight) * share;
        let sum: Decimal = shares.iter().map(|(_, weight, share)| exact(*weight, *share)).sum();
        let (rule, value) = if standing.current_principal > standing.approved_limit {
            (ScoreRule::OverLimit, Decimal::ZERO)
        } else if standing.loans_taken == 0 {
            (ScoreRule::NoLoans, Decimal::from(self.rules().score.without_loans))
        } else {
            (ScoreRule::Components, sum)
        };
        let components = shares
            .into_iter()
            .map(|(name, weight, share)| Component { name, weight, points: round(exact(weight, share)) })
            .collect();
        Score { value: round(value), rule, components }
    }

    fn on_time_share(&self, standing: &CreditStanding) -> Decimal {
        if standing.instalments_due == 0 {
            return percent(self.rules().score.nothing_due_percent);
        }
        Decimal::from(standing.instalments_paid_on_time) / Decimal::from(standing.instalments_due)
    }

    fn track_record_share(&self, standing: &CreditStanding) -> Decimal {
        let full = u32::from(self.rules().score.full_track_record_loans);
        Decimal::from(standing.loans_taken.min(full)) / Decimal::from(full)
    }

    fn activity_share(&self, standing: &CreditStanding) -> Decimal {
        let loss = percent(self.rules().score.loss_per_loan_this_year_percent);
        (Decimal::ONE - loss * Decimal::from(standing.loans_started_this_year)).max(Decimal::ZERO)
    }
}

fn volume_share(standing: &CreditStanding) -> Decimal {
    let limit = standing.approved_limit.amount();
    if limit.is_zero() {
        return Decimal::ZERO;
    }
    (Decimal::ONE - standing.current_principal.amount() / limit).max(Decimal::ZERO)
}

fn percent(value: u8) -> Decimal {
    Decimal::from(value) / Decimal::from(FULL_PERCENT)
}

fn round(exact: Decimal) -> Decimal {
    let mut rounded =
        exact.round_dp(EXACT_DECIMALS).round_dp_with_strategy(SCORE_DECIMALS, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(SCORE_DECIMALS);
    rounded
}
