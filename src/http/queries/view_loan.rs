//! `GET /view-loan/{loan_id}` and `GET /view-loans/{customer_id}`.

use aggregates::ids::{CustomerId, LoanId};
use axum::Json;
use axum::extract::State;
use projections::loans::{Borrower, LoanView};
use projections::{customers, loans};
use serde::Serialize;
use utoipa::ToSchema;

use super::{PathText, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::problem::{Problem, ProblemDocument};

/// A loan and who borrowed it.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "loan_id": 11000,
    "customer": {"id": 10015, "first_name": "Asha", "last_name": "Rao", "phone_number": "9876543210", "age": 30},
    "loan_amount": 100000, "interest_rate": 12, "monthly_installment": 8884.88, "tenure": 12,
})))]
pub(super) struct LoanWithCustomer {
    loan_id: i64,
    customer: Customer,
    /// Rupees.
    loan_amount: Number,
    /// Percent a year.
    interest_rate: Number,
    /// Rupees.
    monthly_installment: Number,
    /// Months.
    tenure: i16,
}

/// Who borrowed.
#[derive(Serialize, ToSchema)]
#[schema(as = Borrower)]
struct Customer {
    id: i64,
    first_name: String,
    last_name: String,
    phone_number: String,
    /// Years.
    age: i16,
}

/// A loan that is not settled and has not ended.
#[derive(Serialize, ToSchema)]
pub(super) struct CurrentLoan {
    loan_id: i64,
    /// Rupees.
    loan_amount: Number,
    /// Percent a year.
    interest_rate: Number,
    /// Rupees.
    monthly_installment: Number,
    /// Instalments that are not paid in full.
    repayments_left: i16,
}

impl From<(LoanView, Borrower)> for LoanWithCustomer {
    fn from((loan, borrower): (LoanView, Borrower)) -> Self {
        let Borrower { customer_id, first_name, last_name, phone_number, age } = borrower;
        Self {
            loan_id: loan.loan_id,
            customer: Customer { id: customer_id, first_name, last_name, phone_number, age },
            loan_amount: Number(loan.principal),
            interest_rate: Number(loan.interest_rate),
            monthly_installment: Number(loan.instalment),
            tenure: loan.tenure,
        }
    }
}

impl From<LoanView> for CurrentLoan {
    fn from(loan: LoanView) -> Self {
        Self {
            loan_id: loan.loan_id,
            loan_amount: Number(loan.principal),
            interest_rate: Number(loan.interest_rate),
            monthly_installment: Number(loan.instalment),
            repayments_left: loan.tenure.saturating_sub(loan.instalments_paid),
        }
    }
}

/// See a loan
#[utoipa::path(get, path = "/view-loan/{loan_id}", tag = "originals",
    params(("loan_id" = i64, Path, description = "The loan.", example = 11000)),
    responses(
        (status = 200, description = "The loan.", body = LoanWithCustomer),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn view_loan(
    State(api): State<Api>,
    fresh: Fresh,
    loan_id: PathText,
) -> Result<Json<LoanWithCustomer>, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let found = loans::find_with_borrower(&api.read_models, loan_id).await?;
    fresh.confirm(&api)?;
    let found = found.ok_or_else(|| Problem::not_found("loan_id", loan_id))?;
    Ok(Json(found.into()))
}

/// See a customer's current loans
///
/// All of them in one answer; `GET /v1/loans` gives pages.
#[utoipa::path(get, path = "/view-loans/{customer_id}", tag = "originals",
    params(("customer_id" = i64, Path, description = "The customer.", example = 10015)),
    responses(
        (status = 200, description = "The loans.", body = [CurrentLoan], example = json!([{
            "loan_id": 11000, "loan_amount": 100000, "interest_rate": 12, "monthly_installment": 8884.88,
            "repayments_left": 11,
        }])),
        (status = 404, description = "There is no such customer.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn view_loans(
    State(api): State<Api>,
    fresh: Fresh,
    customer_id: PathText,
) -> Result<Json<Vec<CurrentLoan>>, Problem> {
    let customer_id: CustomerId = path_id("customer_id", &customer_id)?;
    let found = loans::current_of(&api.read_models, customer_id, api.calendar.today()).await?;
    let is_known = !found.is_empty() || customers::exists(&api.read_models, customer_id).await?;
    fresh.confirm(&api)?;
    if !is_known {
        return Err(Problem::not_found("customer_id", customer_id));
    }
    Ok(Json(found.into_iter().map(CurrentLoan::from).collect()))
}
