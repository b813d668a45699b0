//! `GET /v1/loans/{loan_id}/schedule?as_of=`.

use aggregates::ids::LoanId;
use aggregates::loan::account::{Account, InstalmentProgress};
use aggregates::money::{Money, OutOfRange};
use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use projections::Projection;
use projections::loans::{self, LoanDetail};
use serde::Serialize;
use utoipa::ToSchema;

use super::states::{InstalmentStatus, LoanStatus};
use super::{PathText, must_be_filled, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::{Parameters, parse_past_day};
use crate::http::problem::{Problem, ProblemDocument};

/// A loan's schedule, and what is paid of it.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "loan_id": 11000, "as_of": "2026-12-24", "status": "active",
    "instalments": [{
        "number": 1, "due_on": "2026-12-24", "amount": 8884.88, "interest": 1000, "principal": 7884.88,
        "balance": 92115.12, "status": "partly_paid", "paid": 5000, "interest_paid": 1000, "principal_paid": 4000,
        "interest_waived": 0, "left": 3884.88, "paid_on": null, "on_time": null,
    }],
    "totals": {"amount": 106618.53, "interest": 6618.53, "principal": 100000, "paid": 5000, "interest_waived": 0,
        "left": 101618.53, "overdue": 0},
})))]
pub(super) struct Schedule {
    loan_id: i64,
    /// The day that it is told for.
    #[schema(format = Date)]
    as_of: String,
    status: LoanStatus,
    /// One a month, in order; the balance after the last is 0.
    instalments: Vec<Instalment>,
    totals: Totals,
}

/// An instalment, and what is paid of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduledInstalment)]
struct Instalment {
    /// 1 for the first month.
    number: u16,
    /// The last day on which it is paid on time.
    #[schema(format = Date)]
    due_on: String,
    /// Rupees: `interest` and `principal` together.
    amount: Number,
    /// Rupees.
    interest: Number,
    /// Rupees.
    principal: Number,
    /// Rupees of principal that the schedule leaves after it.
    balance: Number,
    status: InstalmentStatus,
    /// Rupees paid of it so far.
    paid: Number,
    /// Rupees of those that paid interest.
    interest_paid: Number,
    /// Rupees of those that lowered the balance.
    principal_paid: Number,
    /// Rupees of its interest that an early settlement waived.
    interest_waived: Number,
    /// Rupees of it that are left to pay.
    left: Number,
    /// The day on which it was paid in full; null while it is not, and where that was before the loan was taken over.
    #[schema(format = Date)]
    paid_on: Option<String>,
    /// Whether it was paid in full by its due date; null while it is not paid.
    on_time: Option<bool>,
}

/// Sums over all instalments, in rupees.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleTotals)]
struct Totals {
    amount: Number,
    interest: Number,
    principal: Number,
    paid: Number,
    interest_waived: Number,
    left: Number,
    /// Of what is left, what is overdue.
    overdue: Number,
}

fn rupees(money: Money) -> Number {
    Number(money.amount())
}

impl Instalment {
    fn new(progress: &InstalmentProgress, on: NaiveDate) -> Result<Self, OutOfRange> {
        let scheduled = &progress.scheduled.instalment;
        Ok(Self {
            number: scheduled.number,
            due_on: progress.scheduled.due_on.to_string(),
            amount: rupees(scheduled.amount()?),
            interest: rupees(scheduled.interest),
            principal: rupees(scheduled.principal),
            balance: rupees(scheduled.balance),
            status: progress.state(on).into(),
            paid: rupees(progress.interest_paid.plus(progress.principal_paid)?),
            interest_paid: rupees(progress.interest_paid),
            principal_paid: rupees(progress.principal_paid),
            interest_waived: rupees(progress.interest_waived),
            left: rupees(progress.interest_left().plus(progress.principal_left())?),
            paid_on: progress.paid_on.map(|day| day.to_string()),
            on_time: progress.is_on_time(),
        })
    }
}

impl Totals {
    fn of(account: &Account, on: NaiveDate) -> Result<Self, OutOfRange> {
        let sum = |part: &dyn Fn(&InstalmentProgress) -> Money| {
            account.instalments().iter().try_fold(Money::ZERO, |sum, instalment| sum.plus(part(instalment)))
        };
        let interest = sum(&|instalment| instalment.scheduled.instalment.interest)?;
        let principal = sum(&|instalment| instalment.scheduled.instalment.principal)?;
        let interest_paid = sum(&|instalment| instalment.interest_paid)?;
        let principal_paid = sum(&|instalment| instalment.principal_paid)?;
        let overdue = account.overdue(on)?.map_or(Money::ZERO, |overdue| overdue.amount);
        Ok(Self {
            amount: rupees(interest.plus(principal)?),
            interest: rupees(interest),
            principal: rupees(principal),
            paid: rupees(interest_paid.plus(principal_paid)?),
            interest_waived: rupees(account.interest_waived()),
            left: rupees(account.outstanding()),
            overdue: rupees(overdue),
        })
    }
}

impl Schedule {
    fn new(loan: &LoanDetail, account: &Account, on: NaiveDate) -> Result<Self, OutOfRange> {
        let instalments = account.instalments().iter().map(|instalment| Instalment::new(instalment, on));
        Ok(Self {
            loan_id: loan.terms.loan_id.get(),
            as_of: on.to_string(),
            status: loan.status(account, on).into(),
            instalments: instalments.collect::<Result<_, _>>()?,
            totals: Totals::of(account, on)?,
        })
    }
}

/// See a loan's schedule
///
/// Every instalment with what is paid of it, whether that was on time, and what is late.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/schedule", tag = "loans",
    params(
        ("loan_id" = i64, Path, description = "The loan.", example = 11000),
        ("as_of" = Option<String>, Query, format = Date, description = "The day to tell it for, today unless told, and not later: by \
            what is known now of the repayments made until then.", example = "2026-11-24"),
    ),
    responses(
        (status = 200, description = "The schedule.", body = Schedule),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn show_schedule(
    State(api): State<Api>,
    loan_id: PathText,
    mut parameters: Parameters,
    fresh: Fresh,
) -> Result<Json<Schedule>, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let today = api.calendar.today();
    let on = parameters.read("as_of", |text| parse_past_day(text, today)).unwrap_or(today);
    parameters.finish()?;
    must_be_filled(&api, Projection::Loans).await?;
    let found = loans::find(&api.read_models, loan_id).await?;
    fresh.confirm(&api)?;
    let loan = found.ok_or_else(|| Problem::not_found("loan_id", loan_id))?;
    Ok(Json(Schedule::new(&loan, &loan.account_on(on)?, on)?))
}
