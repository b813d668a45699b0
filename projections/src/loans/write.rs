//! The only writer of `read_models.loans`.

use aggregates::event::LendingEvent;
use aggregates::loan::{LoanEvent, LoanTerms};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::RecordedEvent;

/// New rows as columns, for one statement over arrays.
#[derive(Default)]
struct NewLoans<'a> {
    ids: Vec<i64>,
    customer_ids: Vec<i64>,
    external_ids: Vec<Option<&'a str>>,
    decision_ids: Vec<Option<i64>>,
    principals: Vec<Decimal>,
    interest_rates: Vec<Decimal>,
    tenures: Vec<i16>,
    instalments: Vec<Decimal>,
    instalments_paid: Vec<i16>,
    started_on: Vec<NaiveDate>,
    ends_on: Vec<NaiveDate>,
    opened_at: Vec<DateTime<Utc>>,
}

impl<'a> NewLoans<'a> {
    fn collect(&mut self, event: &'a LendingEvent) {
        match event {
            LendingEvent::Loan(LoanEvent::LoanOpened(opened)) => {
                self.external_ids.push(None);
                self.decision_ids.push(Some(opened.decision_id.get()));
                self.push_terms(&opened.terms, 0, opened.opened_at);
            }
            LendingEvent::Loan(LoanEvent::LoanImported(imported)) => {
                self.external_ids.push(imported.external_id.as_deref());
                self.decision_ids.push(None);
                self.push_terms(&imported.terms, imported.instalments_paid_on_time, imported.imported_at);
            }
            LendingEvent::Customer(_) => {}
        }
    }

    fn push_terms(&mut self, terms: &LoanTerms, paid: u16, at: DateTime<Utc>) {
        let tenure = terms.tenure.months();
        self.ids.push(terms.loan_id.get());
        self.customer_ids.push(terms.customer_id.get());
        self.principals.push(terms.principal.money().amount());
        self.interest_rates.push(terms.interest_rate.percent());
        // A tenure is at most 480, and no more instalments than that can have been paid.
        self.tenures.push(i16::try_from(tenure).unwrap_or(i16::MAX));
        self.instalments.push(terms.instalment.amount());
        self.instalments_paid.push(i16::try_from(paid.min(tenure)).unwrap_or(i16::MAX));
        self.started_on.push(terms.started_on);
        self.ends_on.push(terms.ends_on);
        self.opened_at.push(at);
    }
}

/// Writes what a batch means for the loans.
pub(crate) async fn write(transaction: &mut PgConnection, batch: &[RecordedEvent]) -> Result<(), sqlx::Error> {
    let mut rows = NewLoans::default();
    for recorded in batch {
        rows.collect(&recorded.event);
    }
    if rows.ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into read_models.loans
             (loan_id, customer_id, external_id, decision_id, principal, interest_rate, tenure, instalment,
              instalments_paid, started_on, ends_on, opened_at)
         select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::numeric[], $6::numeric[],
                              $7::smallint[], $8::numeric[], $9::smallint[], $10::date[], $11::date[],
                              $12::timestamptz[])",
    )
    .bind(rows.ids)
    .bind(rows.customer_ids)
    .bind(rows.external_ids)
    .bind(rows.decision_ids)
    .bind(rows.principals)
    .bind(rows.interest_rates)
    .bind(rows.tenures)
    .bind(rows.instalments)
    .bind(rows.instalments_paid)
    .bind(rows.started_on)
    .bind(rows.ends_on)
    .bind(rows.opened_at)
    .execute(transaction)
    .await?;
    Ok(())
}
