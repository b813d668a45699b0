//! `GET /v1/loans`.

use aggregates::Invalid;
use aggregates::loan;
use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use projections::Projection;
use projections::bounds::Bounds;
use projections::loans::{self, LoanFilter, LoanSummary};
use serde::Serialize;
use utoipa::ToSchema;

use super::must_be_filled;
use super::states::LoanStatus;
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::openapi::inputs::{AmountBound, DayOrMoment};
use crate::http::parameters::{Parameters, parse_amount, parse_day, parse_id, parse_instant};
use crate::http::problem::Problem;

/// A page of loans.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "loan_id": 11000, "customer_id": 10015, "status": "active", "loan_amount": 100000, "interest_rate": 12,
    "monthly_installment": 8884.88, "tenure": 12, "started_on": "2026-11-24", "ends_on": "2027-11-24",
    "next_due_on": "2026-12-24", "opened_at": "2026-11-24T09:30:00+00:00",
}], "next_cursor": "c2~5f0c4a1be0d7~783"})))]
pub(super) struct LoanList {
    items: Vec<ListedLoan>,
    /// Continues behind the last item, under the same filters; null on the last page.
    next_cursor: Option<String>,
}

/// A loan in a list.
#[derive(Serialize, ToSchema)]
struct ListedLoan {
    loan_id: i64,
    customer_id: i64,
    /// How it stands today.
    status: LoanStatus,
    /// Rupees lent.
    loan_amount: Number,
    /// Percent a year.
    interest_rate: Number,
    /// Rupees.
    monthly_installment: Number,
    /// Months.
    tenure: i16,
    /// The day it was granted.
    #[schema(format = Date)]
    started_on: String,
    /// The last due date.
    #[schema(format = Date)]
    ends_on: String,
    /// When the first unpaid instalment is due; null when nothing is left to pay.
    #[schema(format = Date)]
    next_due_on: Option<String>,
    /// When it was opened, or taken over from another system.
    #[schema(format = DateTime)]
    opened_at: String,
}

impl ListedLoan {
    fn new(loan: &LoanSummary, today: NaiveDate) -> Self {
        Self {
            loan_id: loan.loan_id,
            customer_id: loan.customer_id,
            status: loan.status(today).into(),
            loan_amount: Number(loan.principal),
            interest_rate: Number(loan.interest_rate),
            monthly_installment: Number(loan.instalment),
            tenure: loan.tenure,
            started_on: loan.started_on.to_string(),
            ends_on: loan.ends_on.to_string(),
            next_due_on: loan.next_due_on.map(|day| day.to_string()),
            opened_at: loan.opened_at.to_rfc3339(),
        }
    }
}

fn filter(api: &Api, parameters: &mut Parameters) -> LoanFilter {
    let instant = |text: &str| parse_instant(text, |day| api.calendar.begins(day));
    LoanFilter {
        customer: parameters.read("customer_id", parse_id),
        status: parameters.read("status", status),
        amount: Bounds {
            from: parameters.read("min_amount", parse_amount),
            to: parameters.read("max_amount", parse_amount),
        },
        started_on: Bounds {
            from: parameters.read("started_after", parse_day),
            to: parameters.read("started_before", parse_day),
        },
        ends_on: Bounds {
            from: parameters.read("ending_after", parse_day),
            to: parameters.read("ending_before", parse_day),
        },
        opened_at: Bounds {
            from: parameters.read("opened_after", instant),
            to: parameters.read("opened_before", instant),
        },
    }
}

fn status(text: &str) -> Result<loan::LoanStatus, Invalid> {
    let known = || Invalid(format!("must be one of {}", loan::LoanStatus::ALL.map(loan::LoanStatus::name).join(", ")));
    loan::LoanStatus::from_name(text).ok_or_else(known)
}

/// List loans
///
/// All filters that are given hold together. The order follows the first of them that is given, of: customer (then the
/// end, else the start, else the id of its loans), status `written_off` (by day) or `overdue` (longest first), amount,
/// start, end, opening, status `active` (by next due date); without any it is that of the ids. It is ascending.
#[utoipa::path(get, path = "/v1/loans", tag = "loans",
    params(
        ("customer_id" = Option<i64>, Query, minimum = 1, maximum = 9_007_199_254_740_991_u64, description = "Who borrows.", example = 10015),
        ("status" = Option<LoanStatus>, Query, description = "How they stand today.", example = "overdue"),
        ("min_amount" = inline(Option<AmountBound>), Query, description = "Rupees lent; included.", example = 50000),
        ("max_amount" = inline(Option<AmountBound>), Query, description = "Rupees lent; included.", example = 500000),
        ("started_after" = Option<String>, Query, format = Date, description = "Granted on this day or later.", example = "2026-01-01"),
        ("started_before" = Option<String>, Query, format = Date, description = "Granted before this day.", example = "2027-01-01"),
        ("ending_after" = Option<String>, Query, format = Date, description = "With the last due date on this day or later.",
         example = "2026-12-01"),
        ("ending_before" = Option<String>, Query, format = Date, description = "With the last due date before this day.",
         example = "2030-01-01"),
        ("opened_after" = inline(Option<DayOrMoment>), Query, description = "Opened or taken over at this moment (RFC 3339) or \
            later; a day stands for its beginning, as the business counts days.", example = "2026-01-01"),
        ("opened_before" = inline(Option<DayOrMoment>), Query, description = "Opened or taken over before this moment (RFC 3339); \
            a day stands for its beginning.", example = "2026-12-01T00:00:00Z"),
    ),
    responses((status = 200, description = "A page.", body = LoanList)))]
pub(super) async fn list_loans(
    State(api): State<Api>,
    mut parameters: Parameters,
    fresh: Fresh,
) -> Result<Json<LoanList>, Problem> {
    let filter = filter(&api, &mut parameters);
    let paging = parameters.finish_list(filter.order())?;
    let today = api.calendar.today();
    must_be_filled(&api, Projection::Loans).await?;
    let found = loans::list(&api.read_models, &filter, today, &paging.page).await?;
    fresh.confirm(&api)?;
    let next_cursor = paging.cursor(found.next.as_ref());
    Ok(Json(LoanList { items: found.items.iter().map(|loan| ListedLoan::new(loan, today)).collect(), next_cursor }))
}
