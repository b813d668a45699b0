//! The decision: a score against floors, a loan against caps, and every reason that applies, the gravest first.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::instalments::instalment;
use crate::money::{Money, OutOfRange};
use crate::policy::alternatives::Alternative;
use crate::policy::score::{Score, ScoreRule};
use crate::policy::{FULL_PERCENT, Policy, PolicyRef};
use crate::profile::CreditStanding;
use crate::terms::{Principal, Rate, Tenure};

/// What the customer asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Rupees.
    pub principal: Principal,
    /// Percent a year.
    pub interest_rate: Rate,
    /// Months.
    pub tenure: Tenure,
    /// Whether to lend at a higher rate than was asked for, where the score demands one.
    pub accept_corrected_rate: bool,
}

/// How it fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The loan is granted at the corrected rate.
    Approved,
    /// It is not.
    Declined,
}

/// A stable code for each reason; declared in the order of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Current loans already exceed the approved limit.
    CurrentLoansOverLimit,
    /// The score is too low for any rate.
    ScoreTooLow,
    /// Current loans and the one asked for would exceed the approved limit.
    LimitExceeded,
    /// Instalments would exceed, or exceed already, the allowed share of the income.
    InstalmentsOverIncomeShare,
    /// The score demands a higher rate, and the application does not accept one.
    CorrectedRateNotAccepted,
    /// Approved at a higher rate than was asked for.
    RateCorrected,
    /// Approved as asked for.
    WithinPolicy,
}

/// One reason of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable: programs hold on to it.
    pub code: ReasonCode,
    /// A plain sentence for people.
    pub message: String,
}

/// A decision without its ids: everything it was taken from, and why it fell as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// Under which policy.
    pub policy: PolicyRef,
    /// What was asked for.
    pub application: Application,
    /// How the customer stood, and on which day.
    pub standing: CreditStanding,
    /// The score of that standing.
    pub score: Score,
    /// The lowest rate for that score; `None` where it is too low for any.
    pub minimum_rate: Option<Rate>,
    /// The higher of the rate asked for and the lowest rate.
    pub corrected_rate: Rate,
    /// Rupees a month at the corrected rate.
    pub instalment: Money,
    /// How it fell.
    pub outcome: Outcome,
    /// All reasons that apply, the gravest first; never empty.
    pub reasons: Vec<Reason>,
    /// For a decline: single changes that would pass, each the smallest of its kind.
    pub alternatives: Vec<Alternative>,
}

/// How an application fell under a policy, and why: an assessment without its inputs and without what would have
/// passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The score of the standing.
    pub score: Score,
    /// The lowest rate for that score; `None` where it is too low for any.
    pub minimum_rate: Option<Rate>,
    /// The higher of the rate asked for and the lowest rate.
    pub corrected_rate: Rate,
    /// Rupees a month at the corrected rate.
    pub instalment: Money,
    /// How it fell.
    pub outcome: Outcome,
    /// All reasons that apply, the gravest first; never empty.
    pub reasons: Vec<Reason>,
}

impl ReasonCode {
    /// The code as it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CurrentLoansOverLimit => "current_loans_over_limit",
            Self::ScoreTooLow => "score_too_low",
            Self::LimitExceeded => "limit_exceeded",
            Self::InstalmentsOverIncomeShare => "instalments_over_income_share",
            Self::CorrectedRateNotAccepted => "corrected_rate_not_accepted",
            Self::RateCorrected => "rate_corrected",
            Self::WithinPolicy => "within_policy",
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Outcome {
    /// The outcome as it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
}

impl Assessment {
    /// Whether the loan is granted.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.outcome == Outcome::Approved
    }

    /// The gravest reason's sentence.
    #[must_use]
    pub fn headline(&self) -> &str {
        self.reasons.first().map_or("", |reason| reason.message.as_str())
    }
}

/// What of a standing and a policy decides over an application's terms.
pub(super) struct Bounds<'a> {
    pub(super) policy: &'a Policy,
    pub(super) standing: &'a CreditStanding,
    pub(super) score: &'a Score,
    pub(super) minimum_rate: Option<Rate>,
}

impl Policy {
    /// Assesses an application against a customer's standing. Pure: the same inputs give the same assessment, to
    /// the byte.
    ///
    /// # Errors
    /// When an amount leaves the range of [`Money`]; not within the input bounds.
    pub fn assess(&self, standing: CreditStanding, application: Application) -> Result<Assessment, OutOfRange> {
        let Judgement { score, minimum_rate, corrected_rate, instalment, outcome, reasons } =
            self.judge(&standing, &application)?;
        let alternatives = match outcome {
            Outcome::Approved => Vec::new(),
            Outcome::Declined => {
                let bounds = Bounds { policy: self, standing: &standing, score: &score, minimum_rate };
                bounds.alternatives(&application)?
            }
        };
        let policy = self.reference().clone();
        Ok(Assessment {
            policy,
            application,
            standing,
            score,
            minimum_rate,
            corrected_rate,
            instalment,
            outcome,
            reasons,
            alternatives,
        })
    }

    /// Judges an application as [`Policy::assess`] does, without looking for what would have passed: that takes a
    /// hundred decisions more.
    ///
    /// # Errors
    /// As [`Policy::assess`].
    pub fn judge(&self, standing: &CreditStanding, application: &Application) -> Result<Judgement, OutOfRange> {
        let score = self.score(standing);
        let minimum_rate = self.minimum_rate(score.value);
        let bounds = Bounds { policy: self, standing, score: &score, minimum_rate };
        let corrected_rate = bounds.corrected_rate(application);
        let declines = bounds.declines(application)?;
        let (outcome, reasons) = if declines.is_empty() {
            (Outcome::Approved, vec![approval(application, corrected_rate, &score)])
        } else {
            (Outcome::Declined, declines)
        };
        let instalment = instalment(application.principal, corrected_rate, application.tenure)?;
        Ok(Judgement { score, minimum_rate, corrected_rate, instalment, outcome, reasons })
    }
}

impl Bounds<'_> {
    pub(super) fn corrected_rate(&self, application: &Application) -> Rate {
        self.minimum_rate.map_or(application.interest_rate, |floor| floor.max(application.interest_rate))
    }

    /// Rupees a month that instalments may reach.
    pub(super) fn instalment_cap(&self) -> Decimal {
        let share = Decimal::from(self.policy.rules().caps.instalments_percent_of_income);
        self.standing.monthly_income.money().amount() * share / Decimal::from(FULL_PERCENT)
    }

    /// Current instalments, with the loan asked for where the policy counts it.
    pub(super) fn instalments_with(&self, requested: Money) -> Result<Money, OutOfRange> {
        let counted = if self.counts_requested() { requested } else { Money::ZERO };
        self.standing.current_instalments.plus(counted)
    }

    pub(super) fn counts_requested(&self) -> bool {
        self.policy.rules().caps.count_requested_loan
    }

    /// Every reason against the application, the gravest first; empty when it passes.
    pub(super) fn declines(&self, application: &Application) -> Result<Vec<Reason>, OutOfRange> {
        let standing = self.standing;
        let mut reasons = Vec::new();
        let mut decline = |code, message| reasons.push(Reason { code, message });
        if self.score.rule == ScoreRule::OverLimit {
            decline(
                ReasonCode::CurrentLoansOverLimit,
                format!(
                    "Current loans of {} exceed the approved limit of {}.",
                    standing.current_principal, standing.approved_limit
                ),
            );
        }
        if self.minimum_rate.is_none() {
            let score = self.score.value;
            decline(ReasonCode::ScoreTooLow, format!("The credit score of {score} is too low for a loan at any rate."));
        }
        let total = standing.current_principal.plus(application.principal.money())?;
        if self.counts_requested() && total > standing.approved_limit {
            decline(
                ReasonCode::LimitExceeded,
                format!(
                    "Current loans and this one, {total} in all, exceed the approved limit of {}.",
                    standing.approved_limit
                ),
            );
        }
        let rate = self.corrected_rate(application);
        let instalments = self.instalments_with(instalment(application.principal, rate, application.tenure)?)?;
        let cap = self.instalment_cap();
        if instalments.amount() > cap {
            let counted =
                if self.counts_requested() { "Current instalments and this one" } else { "Current instalments" };
            let share = self.policy.rules().caps.instalments_percent_of_income;
            decline(
                ReasonCode::InstalmentsOverIncomeShare,
                format!("{counted}, {instalments} a month, exceed {share}% of the monthly income, {cap:.2}."),
            );
        }
        if rate > application.interest_rate && !application.accept_corrected_rate {
            decline(
                ReasonCode::CorrectedRateNotAccepted,
                format!(
                    "The credit score of {} asks for at least {rate}% a year, which was not accepted.",
                    self.score.value
                ),
            );
        }
        Ok(reasons)
    }
}

fn approval(application: &Application, corrected_rate: Rate, score: &Score) -> Reason {
    if corrected_rate > application.interest_rate {
        let message =
            format!("Approved at {corrected_rate}% a year: the lowest rate for a credit score of {}.", score.value);
        Reason { code: ReasonCode::RateCorrected, message }
    } else {
        let message = format!("Approved at {corrected_rate}% a year, with a credit score of {}.", score.value);
        Reason { code: ReasonCode::WithinPolicy, message }
    }
}
