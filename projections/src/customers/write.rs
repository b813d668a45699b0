//! The only writer of `read_models.customers`.

use aggregates::customer::CustomerEvent;
use aggregates::event::LendingEvent;
use aggregates::ids::CustomerId;
use aggregates::money::Money;
use aggregates::person::PersonalData;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::RecordedEvent;

/// New rows as columns, for one statement over arrays.
#[derive(Default)]
struct NewCustomers<'a> {
    ids: Vec<i64>,
    external_ids: Vec<Option<&'a str>>,
    first_names: Vec<&'a str>,
    last_names: Vec<&'a str>,
    ages: Vec<i16>,
    phone_numbers: Vec<&'a str>,
    monthly_incomes: Vec<Decimal>,
    approved_limits: Vec<Decimal>,
    registered_at: Vec<DateTime<Utc>>,
}

impl<'a> NewCustomers<'a> {
    fn collect(&mut self, event: &'a LendingEvent) {
        match event {
            LendingEvent::Customer(CustomerEvent::CustomerRegistered(event)) => {
                self.push(event.customer_id, None, &event.personal, event.registered_at);
                self.push_credit(event.monthly_income.money(), event.approved_limit);
            }
            LendingEvent::Customer(CustomerEvent::CustomerImported(event)) => {
                self.push(event.customer_id, event.external_id.as_deref(), &event.personal, event.imported_at);
                self.push_credit(event.monthly_income.money(), event.approved_limit);
            }
            LendingEvent::Customer(
                CustomerEvent::LoanApproved(_) | CustomerEvent::LoanDeclined(_) | CustomerEvent::LoanCarriedOver(_),
            )
            | LendingEvent::Loan(_) => {}
        }
    }

    fn push(&mut self, id: CustomerId, external_id: Option<&'a str>, person: &'a PersonalData, at: DateTime<Utc>) {
        self.ids.push(id.get());
        self.external_ids.push(external_id);
        self.first_names.push(person.first_name.as_str());
        self.last_names.push(person.last_name.as_str());
        self.ages.push(i16::from(person.age.years()));
        self.phone_numbers.push(person.phone_number.as_str());
        self.registered_at.push(at);
    }

    fn push_credit(&mut self, monthly_income: Money, approved_limit: Money) {
        self.monthly_incomes.push(monthly_income.amount());
        self.approved_limits.push(approved_limit.amount());
    }
}

/// Writes what a batch means for the customers.
pub(crate) async fn write(transaction: &mut PgConnection, batch: &[RecordedEvent]) -> Result<(), sqlx::Error> {
    let mut rows = NewCustomers::default();
    for recorded in batch {
        rows.collect(&recorded.event);
    }
    if rows.ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into read_models.customers
             (customer_id, external_id, first_name, last_name, age, phone_number,
              monthly_income, approved_limit, registered_at)
         select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[],
                              $7::numeric[], $8::numeric[], $9::timestamptz[])",
    )
    .bind(rows.ids)
    .bind(rows.external_ids)
    .bind(rows.first_names)
    .bind(rows.last_names)
    .bind(rows.ages)
    .bind(rows.phone_numbers)
    .bind(rows.monthly_incomes)
    .bind(rows.approved_limits)
    .bind(rows.registered_at)
    .execute(transaction)
    .await?;
    Ok(())
}
