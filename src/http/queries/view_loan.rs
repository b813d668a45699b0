//! `GET /view-loan/{loan_id}` and `GET /view-loans/{customer_id}`.

use aggregates::ids::{CustomerId, LoanId};
use axum::Json;
use axum::extract::State;
use projections::loans::{Borrower, LoanView};
use projections::{customers, loans};
use serde::Serialize;

use super::{PathText, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::problem::Problem;

#[derive(Serialize)]
pub(in crate::http) struct LoanWithCustomer {
    loan_id: i64,
    customer: Customer,
    loan_amount: Number,
    interest_rate: Number,
    monthly_installment: Number,
    tenure: i16,
}

#[derive(Serialize)]
struct Customer {
    id: i64,
    first_name: String,
    last_name: String,
    phone_number: String,
    age: i16,
}

#[derive(Serialize)]
pub(in crate::http) struct CurrentLoan {
    loan_id: i64,
    loan_amount: Number,
    interest_rate: Number,
    monthly_installment: Number,
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

pub(in crate::http) async fn view_loan(
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

pub(in crate::http) async fn view_loans(
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
