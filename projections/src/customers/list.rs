//! Lists of customers.
//!
//! One of the filters drives the list: its index is walked in the index's order, which is the list's, and the other
//! filters are held against what is found there. Which one drives is fixed: the phone number, which finds one customer,
//! before the income, which the index keeps together with the limit, before the limit alone, before the registration.
//! Without a filter the list goes by id. (PostgreSQL may still look another filter's rows up and sort them, where it
//! expects few.)

use aggregates::money::Money;
use aggregates::person::PhoneNumber;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use crate::bounds::Bounds;
use crate::keyset::{Key, KeyValue, Kind, Order, OrderColumn, Page, PageOf, Select};
use crate::statement::Statement;
use crate::{Projection, Target};

/// Which customers; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// Whose number it is.
    pub phone_number: Option<PhoneNumber>,
    /// Rupees a month, both ends included.
    pub monthly_income: Bounds<Money>,
    /// Rupees at least.
    pub min_approved_limit: Option<Money>,
    /// Registered at or after the one moment, and before the other.
    pub registered_at: Bounds<DateTime<Utc>>,
}

/// A customer in a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CustomerSummary {
    /// Which customer.
    pub customer_id: i64,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Digits.
    pub phone_number: String,
    /// Rupees a month.
    pub monthly_income: Decimal,
    /// Rupees.
    pub approved_limit: Decimal,
    /// When it was registered or taken over.
    pub registered_at: DateTime<Utc>,
}

/// By which filter's index a list is walked.
#[derive(Debug, Clone, Copy)]
enum Drive {
    Income,
    Limit,
    Registration,
    /// The phone number's too: it finds one customer.
    Id,
}

const ID: OrderColumn = OrderColumn("customer_id", Kind::Integer);

impl Drive {
    const fn order(self) -> Order {
        match self {
            Self::Income => {
                &[OrderColumn("monthly_income", Kind::Amount), OrderColumn("approved_limit", Kind::Amount), ID]
            }
            Self::Limit => &[OrderColumn("approved_limit", Kind::Amount), ID],
            Self::Registration => &[OrderColumn("registered_at", Kind::Instant), ID],
            Self::Id => &[ID],
        }
    }

    fn key(self, customer: &CustomerSummary) -> Key {
        let id = KeyValue::Integer(customer.customer_id);
        let limit = KeyValue::Amount(customer.approved_limit);
        match self {
            Self::Income => Key::new([KeyValue::Amount(customer.monthly_income), limit, id]),
            Self::Limit => Key::new([limit, id]),
            Self::Registration => Key::new([KeyValue::Instant(customer.registered_at), id]),
            Self::Id => Key::new([id]),
        }
    }
}

impl CustomerFilter {
    const fn drive(&self) -> Drive {
        if self.phone_number.is_some() {
            Drive::Id
        } else if self.monthly_income.is_given() {
            Drive::Income
        } else if self.min_approved_limit.is_some() {
            Drive::Limit
        } else if self.registered_at.is_given() {
            Drive::Registration
        } else {
            Drive::Id
        }
    }

    /// The order of the list that it makes.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.drive().order()
    }
}

/// The statement of [`list`].
#[must_use]
pub fn list_statement(filter: &CustomerFilter, page: &PageOf) -> Statement {
    let columns = "customer_id, first_name, last_name, phone_number, monthly_income, approved_limit, registered_at";
    let mut select = Select::new(columns, Target::Live(Projection::Customers));
    select.compare("phone_number =", filter.phone_number.as_ref().map(PhoneNumber::as_str));
    select.compare("monthly_income >=", filter.monthly_income.from.map(Money::amount));
    select.compare("monthly_income <=", filter.monthly_income.to.map(Money::amount));
    select.compare("approved_limit >=", filter.min_approved_limit.map(Money::amount));
    select.compare("registered_at >=", filter.registered_at.from);
    select.compare("registered_at <", filter.registered_at.to);
    select.page(filter.order(), page)
}

/// A page of the customers that a filter lets through, in its order.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &CustomerFilter,
    page: &PageOf,
) -> Result<Page<CustomerSummary>, sqlx::Error> {
    let found = list_statement(filter, page).all(executor).await?;
    Ok(Page::of(found, page.limit, |customer| filter.drive().key(customer)))
}
