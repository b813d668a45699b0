//! One loan with all that is known of it, and its account: what is paid, due and late is computed from the row by the
//! domain's own arithmetic.

use aggregates::ids::{CustomerId, LoanId};
use aggregates::loan::account::Account;
use aggregates::loan::{LoanStatus, LoanTerms, RepaymentRecord};
use aggregates::money::{Money, OutOfRange};
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::statement::Statement;

/// A loan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoanDetail {
    /// What it runs on.
    pub terms: LoanTerms,
    /// The id in the system it was taken over from, where it could not be kept.
    pub external_id: Option<String>,
    /// The decision that granted it; `None` for one that was taken over.
    pub decision_id: Option<i64>,
    /// When it was opened or taken over.
    pub opened_at: DateTime<Utc>,
    /// How many events it has.
    pub revision: u32,
    /// Instalments paid before it was taken over.
    pub paid_before: u16,
    /// The day of the repayment that settled it.
    pub settled_on: Option<NaiveDate>,
    /// Since when it is written off.
    pub written_off_on: Option<NaiveDate>,
    /// Its repayments in their order, those that were reversed included.
    pub repayments: Vec<RepaymentRecord>,
}

#[derive(sqlx::FromRow)]
struct Row {
    loan_id: i64,
    customer_id: i64,
    external_id: Option<String>,
    decision_id: Option<i64>,
    principal: Decimal,
    interest_rate: Decimal,
    tenure: i16,
    instalment: Decimal,
    instalments_paid_before_import: i16,
    started_on: NaiveDate,
    ends_on: NaiveDate,
    opened_at: DateTime<Utc>,
    revision: i32,
    settled_on: Option<NaiveDate>,
    written_off_on: Option<NaiveDate>,
    repayments: Option<Json<Vec<RepaymentRecord>>>,
}

impl TryFrom<Row> for LoanDetail {
    type Error = aggregates::Invalid;

    fn try_from(row: Row) -> Result<Self, aggregates::Invalid> {
        let terms = LoanTerms {
            loan_id: LoanId::try_from(row.loan_id)?,
            customer_id: CustomerId::try_from(row.customer_id)?,
            principal: Principal::try_from(row.principal)?,
            interest_rate: Rate::try_from(row.interest_rate)?,
            tenure: Tenure::try_from(row.tenure.unsigned_abs())?,
            instalment: Money::try_from(row.instalment)?,
            started_on: row.started_on,
            ends_on: row.ends_on,
        };
        Ok(Self {
            terms,
            external_id: row.external_id,
            decision_id: row.decision_id,
            opened_at: row.opened_at,
            revision: row.revision.unsigned_abs(),
            paid_before: row.instalments_paid_before_import.unsigned_abs(),
            settled_on: row.settled_on,
            written_off_on: row.written_off_on,
            repayments: row.repayments.map_or_else(Vec::new, |repayments| repayments.0),
        })
    }
}

impl LoanDetail {
    /// Its schedule and what is paid of it.
    ///
    /// # Errors
    /// When an amount leaves the range of [`Money`]: not where its events were taken.
    pub fn account(&self) -> Result<Account, OutOfRange> {
        Account::of(&self.terms, self.paid_before, &self.repayments)
    }

    /// The same as it stood at the end of a day: without what was repaid later. What was reversed since does not count
    /// then either.
    ///
    /// # Errors
    /// As [`LoanDetail::account`].
    pub fn account_on(&self, day: NaiveDate) -> Result<Account, OutOfRange> {
        let until = self.repayments.iter().filter(|repayment| repayment.paid_on <= day);
        Account::of(&self.terms, self.paid_before, &until.cloned().collect::<Vec<_>>())
    }

    /// How it stands on a day, by its account.
    #[must_use]
    pub fn status(&self, account: &Account, on: NaiveDate) -> LoanStatus {
        LoanStatus::on(on, account.next_due_on(), self.written_off_on.filter(|since| *since <= on))
    }
}

/// The statement of [`find`].
#[must_use]
pub fn find_statement(id: LoanId) -> Statement {
    Statement::new(
        "select loan_id, customer_id, external_id, decision_id, principal, interest_rate, tenure, instalment,
                instalments_paid_before_import, started_on, ends_on, opened_at, revision, settled_on, written_off_on,
                repayments
         from read_models.loans where loan_id = $1",
    )
    .bind(id.get())
}

/// A loan; `None` for an unknown one.
///
/// # Errors
/// When the database does not answer, or holds what can be no loan.
pub async fn find(executor: impl PgExecutor<'_>, id: LoanId) -> Result<Option<LoanDetail>, sqlx::Error> {
    let found: Option<Row> = find_statement(id).one(executor).await?;
    found.map(LoanDetail::try_from).transpose().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
