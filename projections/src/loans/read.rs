//! Reads of the loans read model.

use aggregates::ids::{CustomerId, LoanId};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use crate::statement::Statement;

/// The largest number of current loans that one answer lists.
const MAX_CURRENT_LOANS: i64 = 10_000;

/// A loan as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LoanView {
    /// Which loan.
    pub loan_id: i64,
    /// Rupees lent.
    pub principal: Decimal,
    /// Percent a year.
    pub interest_rate: Decimal,
    /// Rupees a month.
    pub instalment: Decimal,
    /// Months.
    pub tenure: i16,
    /// Instalments paid so far.
    pub instalments_paid: i16,
}

/// Who borrows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Borrower {
    /// Which customer.
    pub customer_id: i64,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Digits.
    pub phone_number: String,
    /// Years.
    pub age: i16,
}

#[derive(sqlx::FromRow)]
struct WithBorrower {
    #[sqlx(flatten)]
    loan: LoanView,
    #[sqlx(flatten)]
    borrower: Borrower,
}

/// The statement of [`find_with_borrower`].
#[must_use]
pub fn find_with_borrower_statement(id: LoanId) -> Statement {
    Statement::new(
        "select loan_id, principal, interest_rate, instalment, tenure, instalments_paid,
                customer_id, first_name, last_name, phone_number, age
         from read_models.loans join read_models.customers using (customer_id)
         where loan_id = $1",
    )
    .bind(id.get())
}

/// A loan and who borrows: two primary-key lookups in one statement.
///
/// # Errors
/// When the database does not answer.
pub async fn find_with_borrower(
    executor: impl PgExecutor<'_>,
    id: LoanId,
) -> Result<Option<(LoanView, Borrower)>, sqlx::Error> {
    let found: Option<WithBorrower> = find_with_borrower_statement(id).one(executor).await?;
    Ok(found.map(|row| (row.loan, row.borrower)))
}

/// The statement of [`current_of`].
#[must_use]
pub fn current_of_statement(customer: CustomerId, today: NaiveDate) -> Statement {
    Statement::new(
        "select loan_id, principal, interest_rate, instalment, tenure, instalments_paid
         from read_models.loans
         where customer_id = $1 and ends_on >= $2 and (settled_on is null or settled_on > $2)
         order by loan_id limit $3",
    )
    .bind(customer.get())
    .bind(today)
    .bind(MAX_CURRENT_LOANS)
}

/// A customer's loans that run on `today`, the oldest id first.
///
/// # Errors
/// When the database does not answer.
pub async fn current_of(
    executor: impl PgExecutor<'_>,
    customer: CustomerId,
    today: NaiveDate,
) -> Result<Vec<LoanView>, sqlx::Error> {
    current_of_statement(customer, today).all(executor).await
}
