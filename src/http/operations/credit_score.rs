//! `GET /v1/customers/{id}/credit-score?as_of=`: the score and all that it is made of, today or on any past day.

use aggregates::Invalid;
use aggregates::ids::CustomerId;
use aggregates::policy::score::{self, Component};
use aggregates::profile::{CreditProfile, CreditStanding, LoanRecord};
use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use projections::credit_profiles;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::{Known, profile_as_of};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::{PathText, path_id};

/// A score, and all that it is made of.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "customer_id": 10015, "as_of": "2026-03-31", "credit_score": 74.89, "rule": "components",
    "components": [
        {"name": "on_time", "weight": 40, "points": 40,
         "inputs": {"instalments_paid_on_time": 2, "instalments_due": 2}},
        {"name": "track_record", "weight": 20, "points": 4, "inputs": {"loans_taken": 1}},
        {"name": "current_year_activity", "weight": 20, "points": 15, "inputs": {"loans_started_this_year": 1}},
        {"name": "approved_volume", "weight": 20, "points": 15.89,
         "inputs": {"current_loans_amount": 370000, "approved_limit": 1800000}},
    ],
    "minimum_interest_rate": 0, "policy": "standard-1",
    "policy_digest": "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce",
    "monthly_income": 50000, "approved_limit": 1800000, "current_loans_amount": 370000, "current_instalments": 17150.39,
    "loans": [{"loan_id": 11000, "loan_amount": 370000, "monthly_installment": 17150.39, "tenure": 24,
               "started_on": "2026-01-15", "ends_on": "2028-01-15", "current": true}],
})))]
pub(super) struct CreditScore {
    customer_id: i64,
    #[schema(format = Date)]
    as_of: String,
    /// 0 to 100.
    credit_score: Number,
    rule: ScoreRule,
    /// All of them, also where a fixed rule overrode their sum.
    components: Vec<ScoreComponent>,
    /// Percent a year, the lowest that the score borrows at; null where it is too low for any.
    #[schema(required)]
    minimum_interest_rate: Option<Number>,
    /// The policy's id and version.
    policy: String,
    /// SHA-256 of the policy's rules: the same rules, the same digest.
    policy_digest: String,
    /// Rupees.
    monthly_income: Number,
    /// Rupees.
    approved_limit: Number,
    /// Rupees: the sum of the current loans' amounts.
    current_loans_amount: Number,
    /// Rupees a month.
    current_instalments: Number,
    /// All that the customer has taken.
    loans: Vec<Loan>,
}

/// How a score came about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum ScoreRule {
    /// The sum of the components.
    Components,
    /// A customer without any loan: a fixed score.
    NoLoans,
    /// Current loans exceed the approved limit: zero.
    OverLimit,
}

/// A component and what it gave.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ScoreComponent {
    name: ComponentName,
    /// Points when met in full.
    weight: u8,
    /// Points given.
    points: Number,
    inputs: Inputs,
}

/// What is measured.
#[derive(Serialize, ToSchema)]
#[schema(as = ScoreComponentName)]
#[serde(rename_all = "snake_case")]
enum ComponentName {
    OnTime,
    TrackRecord,
    CurrentYearActivity,
    ApprovedVolume,
}

/// What a component was measured from, as its name says.
#[derive(Serialize, ToSchema)]
#[schema(as = ScoreComponentInputs)]
#[serde(untagged)]
enum Inputs {
    #[schema(title = "OnTimeInputs")]
    OnTime { instalments_paid_on_time: u32, instalments_due: u32 },
    #[schema(title = "TrackRecordInputs")]
    TrackRecord { loans_taken: u32 },
    #[schema(title = "CurrentYearActivityInputs")]
    CurrentYearActivity { loans_started_this_year: u32 },
    #[schema(title = "ApprovedVolumeInputs")]
    ApprovedVolume { current_loans_amount: Number, approved_limit: Number },
}

/// A loan as the score sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = ScoredLoan)]
struct Loan {
    loan_id: i64,
    /// Rupees.
    loan_amount: Number,
    /// Rupees.
    monthly_installment: Number,
    /// Months.
    tenure: u16,
    #[schema(format = Date)]
    started_on: String,
    #[schema(format = Date)]
    ends_on: String,
    /// Whether it was neither settled nor ended on the day.
    current: bool,
}

/// See a customer's credit score
///
/// With each component's inputs and points, under the service's policy, today or on any past day.
#[utoipa::path(get, path = "/v1/customers/{customer_id}/credit-score", tag = "customers",
    params(
        ("customer_id" = i64, Path, description = "The customer.", example = 10015),
        ("as_of" = Option<String>, Query, format = Date, description = "The day, today or earlier; today unless told.",
         example = "2026-03-31"),
    ),
    responses(
        (status = 200, description = "The score.", body = CreditScore),
        (status = 404, description = "There is no such customer, or there was none on that day.",
         body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(super) async fn credit_score(
    State(api): State<Api>,
    fresh: Fresh,
    customer_id: PathText,
    mut parameters: Parameters,
) -> Result<Json<CreditScore>, Problem> {
    let customer_id: CustomerId = path_id("customer_id", &customer_id)?;
    let as_of = parameters.take("as_of");
    parameters.finish()?;
    let today = api.calendar.today();
    let (day, profile) = match as_of {
        None => (today, credit_profiles::find(&api.read_models, customer_id).await?),
        Some(text) => {
            let day = past_day(&text, today).map_err(|Invalid(message)| Problem::invalid_field("as_of", message))?;
            (day, past_profile(&api, customer_id, day).await?)
        }
    };
    fresh.confirm(&api)?;
    let profile = profile.ok_or_else(|| Problem::not_found("customer_id", customer_id))?;
    Ok(Json(render(&api, customer_id, &profile, &profile.standing(day)?)))
}

/// A day that has been.
pub(in crate::http) fn past_day(text: &str, today: NaiveDate) -> Result<NaiveDate, Invalid> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| *day <= today).ok_or_else(|| Invalid(format!("must be a day such as {today}, today or earlier")))
}

/// What was known of a customer on a day, from the log; `None` where there is no such customer.
pub(in crate::http) async fn past_profile(
    api: &Api,
    customer: CustomerId,
    day: NaiveDate,
) -> Result<Option<CreditProfile>, Problem> {
    match profile_as_of(&api.log, customer, day, api.calendar).await? {
        Known::Profile(profile) => Ok(Some(profile)),
        Known::Later(since) => Err(Problem::not_yet_a_customer(customer, day, since)),
        Known::Nothing => Ok(None),
    }
}

fn render(api: &Api, customer: CustomerId, profile: &CreditProfile, standing: &CreditStanding) -> CreditScore {
    let score = api.policies.in_force().score(standing);
    let reference = api.policies.in_force().reference();
    CreditScore {
        customer_id: customer.get(),
        as_of: standing.as_of.to_string(),
        credit_score: Number(score.value),
        rule: score.rule.into(),
        minimum_interest_rate: api.policies.in_force().minimum_rate(score.value).map(|rate| Number(rate.percent())),
        components: score.components.into_iter().map(|component| explained(component, standing)).collect(),
        policy: reference.id.clone(),
        policy_digest: reference.digest.clone(),
        monthly_income: Number(standing.monthly_income.money().amount()),
        approved_limit: Number(standing.approved_limit.amount()),
        current_loans_amount: Number(standing.current_principal.amount()),
        current_instalments: Number(standing.current_instalments.amount()),
        loans: profile.loans.iter().map(|loan| rendered(loan, standing.as_of)).collect(),
    }
}

impl From<score::ScoreRule> for ScoreRule {
    fn from(rule: score::ScoreRule) -> Self {
        match rule {
            score::ScoreRule::Components => Self::Components,
            score::ScoreRule::NoLoans => Self::NoLoans,
            score::ScoreRule::OverLimit => Self::OverLimit,
        }
    }
}

/// A component with what it was measured from.
pub(in crate::http) fn explained(
    Component { name, weight, points }: Component,
    standing: &CreditStanding,
) -> ScoreComponent {
    let amount = |amount: Decimal| Number(amount);
    let (name, inputs) = match name {
        score::ComponentName::OnTime => {
            let CreditStanding { instalments_paid_on_time, instalments_due, .. } = *standing;
            (ComponentName::OnTime, Inputs::OnTime { instalments_paid_on_time, instalments_due })
        }
        score::ComponentName::TrackRecord => {
            (ComponentName::TrackRecord, Inputs::TrackRecord { loans_taken: standing.loans_taken })
        }
        score::ComponentName::CurrentYearActivity => {
            let loans_started_this_year = standing.loans_started_this_year;
            (ComponentName::CurrentYearActivity, Inputs::CurrentYearActivity { loans_started_this_year })
        }
        score::ComponentName::ApprovedVolume => {
            let current_loans_amount = amount(standing.current_principal.amount());
            let approved_limit = amount(standing.approved_limit.amount());
            (ComponentName::ApprovedVolume, Inputs::ApprovedVolume { current_loans_amount, approved_limit })
        }
    };
    ScoreComponent { name, weight, points: Number(points), inputs }
}

fn rendered(loan: &LoanRecord, on: NaiveDate) -> Loan {
    Loan {
        loan_id: loan.loan_id.get(),
        loan_amount: Number(loan.principal.money().amount()),
        monthly_installment: Number(loan.instalment.amount()),
        tenure: loan.tenure.months(),
        started_on: loan.started_on.to_string(),
        ends_on: loan.ends_on.to_string(),
        current: loan.is_current(on),
    }
}
