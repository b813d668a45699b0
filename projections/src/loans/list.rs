//! Lists of loans.
//!
//! As with customers, one of the filters drives the list, whose index is walked in its order, and the others are held
//! against what is found there. The order in which they are considered is fixed, from what finds few to what finds
//! many: the customer (with the end or else the start of its loans, where those are asked for), written off, overdue,
//! the amount, the start, the end, the opening, settled, active. Without a filter the list goes by id.

use aggregates::ids::CustomerId;
use aggregates::loan::LoanStatus;
use aggregates::money::Money;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use crate::bounds::Bounds;
use crate::keyset::{Key, KeyValue, Kind, Order, OrderColumn, Page, PageOf, Select};
use crate::statement::Statement;
use crate::{Projection, Target};

/// Which loans; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoanFilter {
    /// Who borrows.
    pub customer: Option<CustomerId>,
    /// How they stand today.
    pub status: Option<LoanStatus>,
    /// Rupees lent, both ends included.
    pub amount: Bounds<Money>,
    /// Granted on or after the one day, and before the other.
    pub started_on: Bounds<NaiveDate>,
    /// Ending on or after the one day, and before the other.
    pub ends_on: Bounds<NaiveDate>,
    /// Opened or taken over at or after the one moment, and before the other.
    pub opened_at: Bounds<DateTime<Utc>>,
}

/// A loan in a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LoanSummary {
    /// Which loan.
    pub loan_id: i64,
    /// Who borrows.
    pub customer_id: i64,
    /// Rupees lent.
    pub principal: Decimal,
    /// Percent a year.
    pub interest_rate: Decimal,
    /// Rupees a month.
    pub instalment: Decimal,
    /// Months.
    pub tenure: i16,
    /// The day it was granted.
    pub started_on: NaiveDate,
    /// The last due date.
    pub ends_on: NaiveDate,
    /// When it was opened or taken over.
    pub opened_at: DateTime<Utc>,
    /// When the first unpaid instalment is due; `None` when nothing is left to pay.
    pub next_due_on: Option<NaiveDate>,
    /// Since when it is written off.
    pub written_off_on: Option<NaiveDate>,
}

impl LoanSummary {
    /// How it stands on a day.
    #[must_use]
    pub fn status(&self, today: NaiveDate) -> LoanStatus {
        LoanStatus::on(today, self.next_due_on, self.written_off_on)
    }
}

/// By which filter's index a list is walked.
#[derive(Debug, Clone, Copy)]
enum Drive {
    /// End, of a customer's or of all loans.
    End,
    /// Start, of a customer's or of all loans.
    Start,
    WrittenOff,
    /// Active ones too.
    NextDue,
    Amount,
    Opening,
    /// A customer's, settled ones, or all.
    Id,
}

const ID: OrderColumn = OrderColumn("loan_id", Kind::Integer);

impl Drive {
    const fn order(self) -> Order {
        match self {
            Self::End => &[OrderColumn("ends_on", Kind::Day), ID],
            Self::Start => &[OrderColumn("started_on", Kind::Day), ID],
            Self::WrittenOff => &[OrderColumn("written_off_on", Kind::Day), ID],
            Self::NextDue => &[OrderColumn("next_due_on", Kind::Day), ID],
            Self::Amount => &[OrderColumn("principal", Kind::Amount), ID],
            Self::Opening => &[OrderColumn("opened_at", Kind::Instant), ID],
            Self::Id => &[ID],
        }
    }

    fn key(self, loan: &LoanSummary) -> Key {
        let id = KeyValue::Integer(loan.loan_id);
        // A list that goes by one of these days holds only loans that have it.
        let day = |day: Option<NaiveDate>| KeyValue::Day(day.unwrap_or_default());
        match self {
            Self::End => Key::new([KeyValue::Day(loan.ends_on), id]),
            Self::Start => Key::new([KeyValue::Day(loan.started_on), id]),
            Self::WrittenOff => Key::new([day(loan.written_off_on), id]),
            Self::NextDue => Key::new([day(loan.next_due_on), id]),
            Self::Amount => Key::new([KeyValue::Amount(loan.principal), id]),
            Self::Opening => Key::new([KeyValue::Instant(loan.opened_at), id]),
            Self::Id => Key::new([id]),
        }
    }
}

impl LoanFilter {
    fn drive(&self) -> Drive {
        if self.customer.is_some() {
            return if self.ends_on.is_given() {
                Drive::End
            } else if self.started_on.is_given() {
                Drive::Start
            } else {
                Drive::Id
            };
        }
        let ranges = [
            (self.amount.is_given(), Drive::Amount),
            (self.started_on.is_given(), Drive::Start),
            (self.ends_on.is_given(), Drive::End),
            (self.opened_at.is_given(), Drive::Opening),
        ];
        let range = ranges.into_iter().find(|(is_given, _)| *is_given).map(|(_, drive)| drive);
        match self.status {
            Some(LoanStatus::WrittenOff) => Drive::WrittenOff,
            Some(LoanStatus::Overdue) => Drive::NextDue,
            Some(LoanStatus::Active) => range.unwrap_or(Drive::NextDue),
            Some(LoanStatus::Settled) | None => range.unwrap_or(Drive::Id),
        }
    }

    /// The order of the list that it makes.
    #[must_use]
    pub fn order(&self) -> Order {
        self.drive().order()
    }
}

/// The statement of [`list`].
#[must_use]
pub fn list_statement(filter: &LoanFilter, today: NaiveDate, page: &PageOf) -> Statement {
    let columns = "loan_id, customer_id, principal, interest_rate, instalment, tenure, started_on, ends_on, opened_at,
                   next_due_on, written_off_on";
    let mut select = Select::new(columns, Target::Live(Projection::Loans));
    select.compare("customer_id =", filter.customer.map(CustomerId::get));
    if let Some(status) = filter.status {
        narrow(&mut select, status, today);
    }
    select.compare("principal >=", filter.amount.from.map(Money::amount));
    select.compare("principal <=", filter.amount.to.map(Money::amount));
    select.compare("started_on >=", filter.started_on.from);
    select.compare("started_on <", filter.started_on.to);
    select.compare("ends_on >=", filter.ends_on.from);
    select.compare("ends_on <", filter.ends_on.to);
    select.compare("opened_at >=", filter.opened_at.from);
    select.compare("opened_at <", filter.opened_at.to);
    select.page(filter.order(), page)
}

/// What [`LoanStatus::on`] says of a row, as the conditions of the indexes say it.
fn narrow(select: &mut Select, status: LoanStatus, today: NaiveDate) {
    match status {
        LoanStatus::Settled => select.holds("next_due_on is null"),
        LoanStatus::WrittenOff => {
            select.holds("next_due_on is not null");
            select.holds("written_off_on is not null");
        }
        LoanStatus::Overdue => {
            select.holds("written_off_on is null");
            select.compare("next_due_on <", Some(today));
        }
        LoanStatus::Active => {
            select.holds("written_off_on is null");
            select.compare("next_due_on >=", Some(today));
        }
    }
}

/// A page of the loans that a filter lets through, in its order, as they stand on `today`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &LoanFilter,
    today: NaiveDate,
    page: &PageOf,
) -> Result<Page<LoanSummary>, sqlx::Error> {
    let found = list_statement(filter, today, page).all(executor).await?;
    Ok(Page::of(found, page.limit, |loan| filter.drive().key(loan)))
}
