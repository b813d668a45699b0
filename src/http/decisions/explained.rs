//! Why a decision fell as it did, or would: its inputs, its score, its rates, the policy, and the reasons.

use aggregates::policy::decision::{Application, Assessment, Outcome};
use aggregates::profile::CreditStanding;
use serde::Serialize;
use utoipa::ToSchema;

use super::policies::Rules;
use crate::http::application::{Reason, Suggestion};
use crate::http::number::Number;
use crate::http::operations::credit_score::{ScoreComponent, ScoreRule, explained};
use crate::policies::Policies;

/// How an application fell, and all that it follows from.
#[derive(Serialize, ToSchema)]
pub(super) struct Explained {
    outcome: DecisionOutcome,
    /// The business day by which it was judged.
    #[schema(format = Date)]
    as_of: String,
    application: Asked,
    standing: Standing,
    /// 0 to 100.
    credit_score: Number,
    /// How the score came about.
    rule: ScoreRule,
    /// All of them, also where a fixed rule overrode their sum.
    components: Vec<ScoreComponent>,
    /// Percent a year, the lowest that the score borrows at; null where it is too low for any.
    #[schema(required)]
    minimum_interest_rate: Option<Number>,
    /// Percent a year: the rate asked for, or the lowest that the score borrows at.
    corrected_interest_rate: Number,
    /// Rupees a month, at the corrected rate.
    monthly_installment: Number,
    policy: JudgedUnder,
    /// All that apply, the gravest first.
    reasons: Vec<Reason>,
    /// For a decline: single changes that would have passed, each the smallest of its kind.
    alternatives: Vec<Suggestion>,
}

/// How an application fell.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DecisionOutcome {
    /// The loan is granted at the corrected rate.
    Approved,
    /// It is not.
    Declined,
}

/// What was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = DecisionApplication)]
struct Asked {
    /// Rupees.
    loan_amount: Number,
    /// Percent a year.
    interest_rate: Number,
    /// Months.
    tenure: u16,
    /// Whether a higher rate than was asked for would do.
    accept_corrected_rate: bool,
}

/// How the customer stood on the day: the inputs of the score and of the caps.
#[derive(Serialize, ToSchema)]
#[schema(as = CreditStanding)]
struct Standing {
    /// Rupees.
    monthly_income: Number,
    /// Rupees.
    approved_limit: Number,
    /// Loans ever taken.
    loans_taken: u32,
    /// Loans that started in the day's calendar year.
    loans_started_this_year: u32,
    /// Instalments fallen due, over all loans.
    instalments_due: u32,
    /// Of those, the ones paid by their due date.
    instalments_paid_on_time: u32,
    /// Loans that ran on the day.
    current_loans: u32,
    /// Rupees: the sum of the current loans' amounts.
    current_loans_amount: Number,
    /// Rupees a month.
    current_instalments: Number,
}

/// The policy that an application was judged under.
#[derive(Serialize, ToSchema)]
struct JudgedUnder {
    id: String,
    /// The number that its id ends with; null where it ends with none.
    #[schema(required)]
    version: Option<u32>,
    /// SHA-256 of the policy's text.
    digest: String,
    /// What it goes by: weights, caps and floors; null where this service no longer has the policy.
    #[schema(required)]
    rules: Option<Rules>,
}

impl Explained {
    pub(super) fn new(policies: &Policies, assessment: Assessment) -> Self {
        let Assessment { standing, score, .. } = assessment;
        let reference = assessment.policy;
        let known = policies.find(&reference.id).filter(|known| *known.policy.reference() == reference);
        Self {
            outcome: assessment.outcome.into(),
            as_of: standing.as_of.to_string(),
            application: (&assessment.application).into(),
            credit_score: Number(score.value),
            rule: score.rule.into(),
            components: score.components.into_iter().map(|component| explained(component, &standing)).collect(),
            standing: (&standing).into(),
            minimum_interest_rate: assessment.minimum_rate.map(|rate| Number(rate.percent())),
            corrected_interest_rate: Number(assessment.corrected_rate.percent()),
            monthly_installment: Number(assessment.instalment.amount()),
            policy: JudgedUnder {
                version: version(&reference.id),
                rules: known.map(|known| known.policy.rules().into()),
                id: reference.id,
                digest: reference.digest,
            },
            reasons: assessment.reasons.into_iter().map(Reason::from).collect(),
            alternatives: assessment.alternatives.into_iter().map(Suggestion::from).collect(),
        }
    }
}

/// The number that a policy's id ends with: 2 of `standard-2`.
pub(super) fn version(id: &str) -> Option<u32> {
    id.rsplit_once('-').and_then(|(_, number)| number.parse().ok())
}

impl From<Outcome> for DecisionOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Approved => Self::Approved,
            Outcome::Declined => Self::Declined,
        }
    }
}

impl From<&Application> for Asked {
    fn from(application: &Application) -> Self {
        Self {
            loan_amount: Number(application.principal.money().amount()),
            interest_rate: Number(application.interest_rate.percent()),
            tenure: application.tenure.months(),
            accept_corrected_rate: application.accept_corrected_rate,
        }
    }
}

impl From<&CreditStanding> for Standing {
    fn from(standing: &CreditStanding) -> Self {
        Self {
            monthly_income: Number(standing.monthly_income.money().amount()),
            approved_limit: Number(standing.approved_limit.amount()),
            loans_taken: standing.loans_taken,
            loans_started_this_year: standing.loans_started_this_year,
            instalments_due: standing.instalments_due,
            instalments_paid_on_time: standing.instalments_paid_on_time,
            current_loans: standing.current_loans,
            current_loans_amount: Number(standing.current_principal.amount()),
            current_instalments: Number(standing.current_instalments.amount()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_what_an_id_ends_with() {
        let versions = ["standard-1", "branch-office-12", "standard", "2026", "a-b", "x-"].map(version);
        assert_eq!(versions, [Some(1), Some(12), None, None, None, None]);
    }
}
