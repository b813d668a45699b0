//! A row of `read_models.customers`, and what events make of it.

use aggregates::customer::CustomerEvent;
use aggregates::event::LendingEvent;
use aggregates::ids::CustomerId;
use aggregates::money::Money;
use aggregates::person::{MonthlyIncome, PersonalData};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::model::{Change, Column, FoldError, ReadModel, kept};
use crate::{Projection, RecordedEvent};

/// The read model.
pub(crate) struct Customers;

/// A customer.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    customer_id: i64,
    external_id: Option<String>,
    first_name: String,
    last_name: String,
    age: i16,
    phone_number: String,
    monthly_income: Decimal,
    approved_limit: Decimal,
    registered_at: DateTime<Utc>,
    revision: i32,
}

impl Row {
    fn new(
        id: CustomerId,
        external_id: Option<String>,
        person: &PersonalData,
        credit: (MonthlyIncome, Money),
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            customer_id: id.get(),
            external_id,
            first_name: person.first_name.as_str().to_owned(),
            last_name: person.last_name.as_str().to_owned(),
            age: i16::from(person.age.years()),
            phone_number: person.phone_number.as_str().to_owned(),
            monthly_income: credit.0.money().amount(),
            approved_limit: credit.1.amount(),
            registered_at: kept(at),
            revision: 1,
        }
    }
}

impl ReadModel for Customers {
    const PROJECTION: Projection = Projection::Customers;
    const COLUMNS: &'static [Column] = &[
        Column("customer_id", "bigint"),
        Column("external_id", "text"),
        Column("first_name", "text"),
        Column("last_name", "text"),
        Column("age", "smallint"),
        Column("phone_number", "text"),
        Column("monthly_income", "numeric"),
        Column("approved_limit", "numeric"),
        Column("registered_at", "timestamptz"),
        Column("revision", "integer"),
    ];
    type Row = Row;

    fn change(event: &RecordedEvent) -> Option<Change> {
        match &event.event {
            LendingEvent::Customer(CustomerEvent::CustomerRegistered(_) | CustomerEvent::CustomerImported(_)) => {
                Some(Change { id: event.customer_id.get(), begins: true })
            }
            LendingEvent::Customer(CustomerEvent::MonthlyIncomeChanged(_) | CustomerEvent::PhoneNumberChanged(_)) => {
                Some(Change { id: event.customer_id.get(), begins: false })
            }
            LendingEvent::Customer(
                CustomerEvent::LoanApproved(_)
                | CustomerEvent::LoanDeclined(_)
                | CustomerEvent::LoanCarriedOver(_)
                | CustomerEvent::RepaymentRecorded(_)
                | CustomerEvent::RepaymentReversalRecorded(_)
                | CustomerEvent::LoanWriteOffRecorded(_),
            )
            | LendingEvent::Loan(_) => None,
        }
    }

    fn fold(row: &mut Option<Row>, event: &RecordedEvent) -> Result<(), FoldError> {
        match &event.event {
            LendingEvent::Customer(CustomerEvent::CustomerRegistered(event)) => {
                let credit = (event.monthly_income, event.approved_limit);
                *row = Some(Row::new(event.customer_id, None, &event.personal, credit, event.registered_at));
            }
            LendingEvent::Customer(CustomerEvent::CustomerImported(event)) => {
                let credit = (event.monthly_income, event.approved_limit);
                let external_id = event.external_id.clone();
                *row = Some(Row::new(event.customer_id, external_id, &event.personal, credit, event.imported_at));
            }
            LendingEvent::Customer(CustomerEvent::MonthlyIncomeChanged(changed)) => {
                let customer = row.as_mut().ok_or(FoldError::UnknownCustomer(changed.customer_id))?;
                customer.monthly_income = changed.monthly_income.money().amount();
                customer.approved_limit = changed.approved_limit.amount();
                customer.revision += 1;
            }
            LendingEvent::Customer(CustomerEvent::PhoneNumberChanged(changed)) => {
                let customer = row.as_mut().ok_or(FoldError::UnknownCustomer(changed.customer_id))?;
                customer.phone_number = changed.personal.phone_number.as_str().to_owned();
                customer.revision += 1;
            }
            LendingEvent::Customer(
                CustomerEvent::LoanApproved(_)
                | CustomerEvent::LoanDeclined(_)
                | CustomerEvent::LoanCarriedOver(_)
                | CustomerEvent::RepaymentRecorded(_)
                | CustomerEvent::RepaymentReversalRecorded(_)
                | CustomerEvent::LoanWriteOffRecorded(_),
            )
            | LendingEvent::Loan(_) => {}
        }
        Ok(())
    }

    fn id(row: &Row) -> i64 {
        row.customer_id
    }

    fn fields(row: &Row) -> Vec<Option<String>> {
        vec![
            Some(row.customer_id.to_string()),
            row.external_id.clone(),
            Some(row.first_name.clone()),
            Some(row.last_name.clone()),
            Some(row.age.to_string()),
            Some(row.phone_number.clone()),
            Some(row.monthly_income.normalize().to_string()),
            Some(row.approved_limit.normalize().to_string()),
            Some(row.registered_at.to_rfc3339()),
            Some(row.revision.to_string()),
        ]
    }
}
