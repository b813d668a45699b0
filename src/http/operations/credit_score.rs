//! `GET /v1/customers/{id}/credit-score?as_of=`: the score and all that it is made of, today or on any past day.

use aggregates::ids::CustomerId;
use aggregates::policy::score::{Component, ComponentName, ScoreRule};
use aggregates::profile::{CreditProfile, CreditStanding, LoanRecord};
use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use projections::credit_profiles;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::history::{Known, profile_as_of};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::queries::{PathText, path_id};

#[derive(Serialize)]
pub(in crate::http) struct CreditScore {
    customer_id: i64,
    as_of: String,
    credit_score: Number,
    /// `components`, `no_loans` or `over_limit`.
    rule: ScoreRule,
    components: Vec<ScoreComponent>,
    /// Percent a year, the lowest that the score borrows at; null where it is too low for any.
    minimum_interest_rate: Option<Number>,
    policy: String,
    policy_digest: String,
    monthly_income: Number,
    approved_limit: Number,
    current_loans_amount: Number,
    current_instalments: Number,
    loans: Vec<Loan>,
}

#[derive(Serialize)]
struct ScoreComponent {
    name: ComponentName,
    weight: u8,
    points: Number,
    inputs: Inputs,
}

/// What a component was measured from.
#[derive(Serialize)]
#[serde(untagged)]
enum Inputs {
    OnTime { instalments_paid_on_time: u32, instalments_due: u32 },
    TrackRecord { loans_taken: u32 },
    CurrentYearActivity { loans_started_this_year: u32 },
    ApprovedVolume { current_loans_amount: Number, approved_limit: Number },
}

#[derive(Serialize)]
struct Loan {
    loan_id: i64,
    loan_amount: Number,
    monthly_installment: Number,
    tenure: u16,
    started_on: String,
    ends_on: String,
    current: bool,
}

pub(in crate::http) async fn credit_score(
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
            let day = past_day(&text, today)?;
            (day, past_profile(&api, customer_id, day).await?)
        }
    };
    fresh.confirm(&api)?;
    let profile = profile.ok_or_else(|| Problem::not_found("customer_id", customer_id))?;
    Ok(Json(render(&api, customer_id, &profile, &profile.standing(day)?)))
}

fn past_day(text: &str, today: NaiveDate) -> Result<NaiveDate, Problem> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| *day <= today)
        .ok_or_else(|| Problem::invalid_field("as_of", format!("must be a day such as {today}, today or earlier")))
}

async fn past_profile(api: &Api, customer: CustomerId, day: NaiveDate) -> Result<Option<CreditProfile>, Problem> {
    match profile_as_of(&api.replay.log, customer, day, api.calendar).await? {
        Known::Profile(profile) => Ok(Some(profile)),
        Known::Later(since) => Err(Problem::not_yet_a_customer(customer, day, since)),
        Known::Nothing => Ok(None),
    }
}

fn render(api: &Api, customer: CustomerId, profile: &CreditProfile, standing: &CreditStanding) -> CreditScore {
    let score = api.policy.score(standing);
    let reference = api.policy.reference();
    CreditScore {
        customer_id: customer.get(),
        as_of: standing.as_of.to_string(),
        credit_score: Number(score.value),
        rule: score.rule,
        minimum_interest_rate: api.policy.minimum_rate(score.value).map(|rate| Number(rate.percent())),
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

fn explained(Component { name, weight, points }: Component, standing: &CreditStanding) -> ScoreComponent {
    let amount = |amount: Decimal| Number(amount);
    let inputs = match name {
        ComponentName::OnTime => Inputs::OnTime {
            instalments_paid_on_time: standing.instalments_paid_on_time,
            instalments_due: standing.instalments_due,
        },
        ComponentName::TrackRecord => Inputs::TrackRecord { loans_taken: standing.loans_taken },
        ComponentName::CurrentYearActivity => {
            Inputs::CurrentYearActivity { loans_started_this_year: standing.loans_started_this_year }
        }
        ComponentName::ApprovedVolume => Inputs::ApprovedVolume {
            current_loans_amount: amount(standing.current_principal.amount()),
            approved_limit: amount(standing.approved_limit.amount()),
        },
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
