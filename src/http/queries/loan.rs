//! `GET /v1/loans/{loan_id}`.

use aggregates::ids::LoanId;
use aggregates::loan::account::{Account, Overdue, Settlement};
use aggregates::money::{Money, OutOfRange};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use projections::Projection;
use projections::loans::{self, LoanDetail};
use serde::Serialize;
use utoipa::ToSchema;

use super::repayments::Repayment;
use super::states::LoanStatus;
use super::{PathText, must_be_filled, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::precondition::tag;
use crate::http::problem::{Problem, ProblemDocument};

/// Repayments that stand in a loan's own answer: the last ones.
const MAX_REPAYMENTS: usize = 100;

/// A loan: what it runs on, and how it stands today.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "loan_id": 11000, "customer_id": 10015, "external_id": null, "decision_id": 12, "loan_amount": 100000,
    "interest_rate": 12, "tenure": 12, "monthly_installment": 8884.88, "started_on": "2026-11-24",
    "ends_on": "2027-11-24", "opened_at": "2026-11-24T09:30:00+00:00", "as_of": "2026-11-24", "status": "active",
    "next_due_on": "2026-12-24", "settled_on": null, "written_off_on": null, "instalments_paid": 0,
    "instalments_paid_on_time": 0, "outstanding": 106618.53, "outstanding_principal": 100000, "interest_waived": 0,
    "overdue": null,
    "settlement": {"amount": 100000, "interest": 0, "principal": 100000, "interest_waived": 6618.53},
    "repayments_count": 0, "repayments": [], "revision": 1,
})))]
#[schema(as = Loan)]
pub(super) struct LoanAnswer {
    loan_id: i64,
    customer_id: i64,
    /// The id in the system it was taken over from, where it could not be kept.
    external_id: Option<String>,
    /// The decision that granted it; null for one that was taken over.
    decision_id: Option<i64>,
    /// Rupees lent.
    loan_amount: Number,
    /// Percent a year.
    interest_rate: Number,
    /// Months.
    tenure: u16,
    /// Rupees.
    monthly_installment: Number,
    /// The day it was granted.
    #[schema(format = Date)]
    started_on: String,
    /// The last due date.
    #[schema(format = Date)]
    ends_on: String,
    /// When it was opened, or taken over from another system.
    #[schema(format = DateTime)]
    opened_at: String,
    /// Today: the day that all of the following is told for.
    #[schema(format = Date)]
    as_of: String,
    status: LoanStatus,
    /// When the first unpaid instalment is due; null when nothing is left to pay.
    #[schema(format = Date)]
    next_due_on: Option<String>,
    /// The day of the repayment that settled it; null too where it came settled from another system.
    #[schema(format = Date)]
    settled_on: Option<String>,
    /// Since when what is left is no longer expected. It stays owed.
    #[schema(format = Date)]
    written_off_on: Option<String>,
    /// Instalments paid in full, those paid before it was taken over included.
    instalments_paid: u16,
    /// Of those, the ones paid by their due date.
    instalments_paid_on_time: u16,
    /// Rupees left to pay by the schedule, interest included.
    outstanding: Number,
    /// Rupees of those that are principal.
    outstanding_principal: Number,
    /// Rupees of interest that an early settlement waived.
    interest_waived: Number,
    /// What is overdue; null when nothing is.
    overdue: Option<OverdueAnswer>,
    /// What settles it today; null when nothing is left to pay.
    settlement: Option<SettlementAnswer>,
    /// How many repayments there are, those that were reversed included.
    repayments_count: usize,
    /// The last 100 of them, in the order in which they were recorded; `…/repayments` lists all.
    repayments: Vec<Repayment>,
    /// How many events it has; also what the `ETag` holds.
    revision: u32,
}

/// What is overdue.
#[derive(Serialize, ToSchema)]
#[schema(as = OverdueAmount)]
struct OverdueAnswer {
    /// The due date of the oldest unpaid instalment.
    #[schema(format = Date)]
    since: String,
    /// Days that have passed since then.
    days: i64,
    /// Instalments that are overdue.
    instalments: u16,
    /// Rupees: `interest` and `principal` together.
    amount: Number,
    /// Rupees of it that are interest.
    interest: Number,
    /// Rupees of it that are principal.
    principal: Number,
}

/// What settles a loan before its time.
#[derive(Serialize, ToSchema)]
#[schema(as = SettlementAmount)]
struct SettlementAnswer {
    /// Rupees to pay: `interest` and `principal` together.
    amount: Number,
    /// Rupees of unpaid interest of the months that have begun.
    interest: Number,
    /// Rupees of unpaid principal.
    principal: Number,
    /// Rupees of interest of later months: not asked for.
    interest_waived: Number,
}

fn rupees(money: Money) -> Number {
    Number(money.amount())
}

impl OverdueAnswer {
    fn new(overdue: Overdue, today: NaiveDate) -> Self {
        let Overdue { since, instalments, amount, interest, principal } = overdue;
        Self {
            since: since.to_string(),
            days: (today - since).num_days(),
            instalments,
            amount: rupees(amount),
            interest: rupees(interest),
            principal: rupees(principal),
        }
    }
}

impl From<Settlement> for SettlementAnswer {
    fn from(settlement: Settlement) -> Self {
        let Settlement { amount, interest, principal, interest_waived } = settlement;
        Self {
            amount: rupees(amount),
            interest: rupees(interest),
            principal: rupees(principal),
            interest_waived: rupees(interest_waived),
        }
    }
}

impl LoanAnswer {
    fn new(loan: &LoanDetail, account: &Account, today: NaiveDate) -> Result<Self, OutOfRange> {
        let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
        let terms = &loan.terms;
        let settlement = account.settlement(today)?;
        let hidden = loan.repayments.len().saturating_sub(MAX_REPAYMENTS);
        Ok(Self {
            loan_id: terms.loan_id.get(),
            customer_id: terms.customer_id.get(),
            external_id: loan.external_id.clone(),
            decision_id: loan.decision_id,
            loan_amount: rupees(terms.principal.money()),
            interest_rate: Number(terms.interest_rate.percent()),
            tenure: terms.tenure.months(),
            monthly_installment: rupees(terms.instalment),
            started_on: terms.started_on.to_string(),
            ends_on: terms.ends_on.to_string(),
            opened_at: loan.opened_at.to_rfc3339(),
            as_of: today.to_string(),
            status: loan.status(account, today).into(),
            next_due_on: day(account.next_due_on()),
            settled_on: day(loan.settled_on),
            written_off_on: day(loan.written_off_on),
            instalments_paid: account.instalments_paid(),
            instalments_paid_on_time: account.instalments_paid_on_time(),
            outstanding: rupees(account.outstanding()),
            outstanding_principal: rupees(account.outstanding_principal()),
            interest_waived: rupees(account.interest_waived()),
            overdue: account.overdue(today)?.map(|overdue| OverdueAnswer::new(overdue, today)),
            settlement: account.next_due_on().map(|_| settlement.into()),
            repayments_count: loan.repayments.len(),
            repayments: loan.repayments.iter().skip(hidden).map(Repayment::from).collect(),
            revision: loan.revision,
        })
    }
}

/// See a loan
///
/// Its `ETag` is its revision, which `If-Match` is held to: what the day alone changes (its status, what is overdue or
/// settles it) is not in it, so the loan is always sent whole.
#[utoipa::path(get, path = "/v1/loans/{loan_id}", tag = "loans",
    params(("loan_id" = i64, Path, description = "The loan.", example = 11000)),
    responses(
        (status = 200, description = "The loan.", body = LoanAnswer,
         headers(("ETag" = String, description = "Its revision, for `If-Match`."))),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn show_loan(
    State(api): State<Api>,
    loan_id: PathText,
    parameters: Parameters,
    fresh: Fresh,
) -> Result<Response, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    parameters.finish()?;
    must_be_filled(&api, Projection::Loans).await?;
    let found = loans::find(&api.read_models, loan_id).await?;
    fresh.confirm(&api)?;
    let loan = found.ok_or_else(|| Problem::not_found("loan_id", loan_id))?;
    let answer = LoanAnswer::new(&loan, &loan.account()?, api.calendar.today())?;
    Ok(([(header::ETAG, tag(loan.revision))], Json(answer)).into_response())
}
