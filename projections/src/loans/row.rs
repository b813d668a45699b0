//! A row of `read_models.loans`, and what events make of it.

use aggregates::event::LendingEvent;
use aggregates::ids::LoanId;
use aggregates::loan::schedule::{is_repaid_by_first, next_due_on};
use aggregates::loan::{LoanEvent, LoanTerms, RepaymentRecord, record};
use aggregates::money::Money;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::types::Json;

use crate::model::{Change, Column, FoldError, ReadModel, kept};
use crate::{Projection, RecordedEvent};

/// The read model.
pub(crate) struct Loans;

/// A loan.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    loan_id: i64,
    customer_id: i64,
    external_id: Option<String>,
    decision_id: Option<i64>,
    principal: Decimal,
    interest_rate: Decimal,
    tenure: i16,
    instalment: Decimal,
    instalments_paid: i16,
    started_on: NaiveDate,
    ends_on: NaiveDate,
    opened_at: DateTime<Utc>,
    outstanding: Option<Decimal>,
    settled_on: Option<NaiveDate>,
    revision: i32,
    instalments_paid_on_time: i16,
    instalments_paid_before_import: i16,
    next_due_on: Option<NaiveDate>,
    written_off_on: Option<NaiveDate>,
    repayments: Option<Json<Vec<RepaymentRecord>>>,
}

/// How a loan stands after an event about its repayments.
struct Stands {
    instalments_paid: u16,
    instalments_paid_on_time: u16,
    outstanding: Money,
    /// The day it was settled, where it is.
    settled_on: Option<NaiveDate>,
}

/// A count of instalments; a tenure, which bounds them all, is at most 480.
fn count(instalments: u16) -> i16 {
    i16::try_from(instalments).unwrap_or(i16::MAX)
}

impl Row {
    fn new(terms: &LoanTerms, paid_before: u16, opened_at: DateTime<Utc>) -> Self {
        let tenure = terms.tenure.months();
        let paid_before = paid_before.min(tenure);
        let left = !is_repaid_by_first(terms, paid_before);
        Self {
            loan_id: terms.loan_id.get(),
            customer_id: terms.customer_id.get(),
            external_id: None,
            decision_id: None,
            principal: terms.principal.money().amount(),
            interest_rate: terms.interest_rate.percent(),
            tenure: count(tenure),
            instalment: terms.instalment.amount(),
            instalments_paid: count(paid_before),
            started_on: terms.started_on,
            ends_on: terms.ends_on,
            opened_at: kept(opened_at),
            outstanding: None,
            settled_on: None,
            revision: 1,
            instalments_paid_on_time: count(paid_before),
            instalments_paid_before_import: count(paid_before),
            next_due_on: left.then(|| next_due_on(terms.started_on, tenure, terms.instalment.is_zero(), paid_before)),
            written_off_on: None,
            repayments: None,
        }
    }

    /// Takes over how the loan stands after an event about its repayments.
    fn stands(&mut self, event: &LoanEvent, stands: &Stands) {
        self.instalments_paid = count(stands.instalments_paid);
        self.instalments_paid_on_time = count(stands.instalments_paid_on_time);
        self.outstanding = Some(stands.outstanding.amount());
        self.settled_on = stands.settled_on;
        let left = !stands.outstanding.is_zero();
        let tenure = self.tenure.unsigned_abs();
        self.next_due_on =
            left.then(|| next_due_on(self.started_on, tenure, self.instalment.is_zero(), stands.instalments_paid));
        record::fold(&mut self.repayments.get_or_insert_default().0, event);
    }
}

fn known(row: &mut Option<Row>, loan: LoanId) -> Result<&mut Row, FoldError> {
    let row = row.as_mut().ok_or(FoldError::UnknownLoan(loan))?;
    row.revision += 1;
    Ok(row)
}

impl ReadModel for Loans {
    const PROJECTION: Projection = Projection::Loans;
    const COLUMNS: &'static [Column] = &[
        Column("loan_id", "bigint"),
        Column("customer_id", "bigint"),
        Column("external_id", "text"),
        Column("decision_id", "bigint"),
        Column("principal", "numeric"),
        Column("interest_rate", "numeric"),
        Column("tenure", "smallint"),
        Column("instalment", "numeric"),
        Column("instalments_paid", "smallint"),
        Column("started_on", "date"),
        Column("ends_on", "date"),
        Column("opened_at", "timestamptz"),
        Column("outstanding", "numeric"),
        Column("settled_on", "date"),
        Column("revision", "integer"),
        Column("instalments_paid_on_time", "smallint"),
        Column("instalments_paid_before_import", "smallint"),
        Column("next_due_on", "date"),
        Column("written_off_on", "date"),
        Column("repayments", "json"),
    ];
    type Row = Row;

    fn change(event: &RecordedEvent) -> Option<Change> {
        let begins = |id: LoanId| Some(Change { id: id.get(), begins: true });
        let goes_on = |id: LoanId| Some(Change { id: id.get(), begins: false });
        match &event.event {
            LendingEvent::Loan(LoanEvent::LoanOpened(opened)) => begins(opened.terms.loan_id),
            LendingEvent::Loan(LoanEvent::LoanImported(imported)) => begins(imported.terms.loan_id),
            LendingEvent::Loan(LoanEvent::RepaymentReceived(received)) => goes_on(received.loan_id),
            LendingEvent::Loan(LoanEvent::LoanSettledEarly(settled)) => goes_on(settled.loan_id),
            LendingEvent::Loan(LoanEvent::RepaymentReversed(reversed)) => goes_on(reversed.loan_id),
            LendingEvent::Loan(LoanEvent::LoanWrittenOff(written_off)) => goes_on(written_off.loan_id),
            LendingEvent::Customer(_) => None,
        }
    }

    fn fold(row: &mut Option<Row>, event: &RecordedEvent) -> Result<(), FoldError> {
        let LendingEvent::Loan(event) = &event.event else { return Ok(()) };
        match event {
            LoanEvent::LoanOpened(opened) => {
                let decision_id = Some(opened.decision_id.get());
                *row = Some(Row { decision_id, ..Row::new(&opened.terms, 0, opened.opened_at) });
            }
            LoanEvent::LoanImported(imported) => {
                let loan = Row::new(&imported.terms, imported.instalments_paid_on_time, imported.imported_at);
                *row = Some(Row { external_id: imported.external_id.clone(), ..loan });
            }
            LoanEvent::RepaymentReceived(received) => known(row, received.loan_id)?.stands(
                event,
                &Stands {
                    instalments_paid: received.instalments_paid,
                    instalments_paid_on_time: received.instalments_paid_on_time,
                    outstanding: received.outstanding,
                    settled_on: received.settled.then_some(received.paid_on),
                },
            ),
            LoanEvent::LoanSettledEarly(settled) => known(row, settled.loan_id)?.stands(
                event,
                &Stands {
                    instalments_paid: settled.instalments_paid,
                    instalments_paid_on_time: settled.instalments_paid_on_time,
                    outstanding: Money::ZERO,
                    settled_on: Some(settled.paid_on),
                },
            ),
            LoanEvent::RepaymentReversed(reversed) => known(row, reversed.loan_id)?.stands(
                event,
                &Stands {
                    instalments_paid: reversed.instalments_paid,
                    instalments_paid_on_time: reversed.instalments_paid_on_time,
                    outstanding: reversed.outstanding,
                    settled_on: reversed.settled_on(),
                },
            ),
            LoanEvent::LoanWrittenOff(written_off) => {
                known(row, written_off.loan_id)?.written_off_on = Some(written_off.written_off_on);
            }
        }
        Ok(())
    }

    fn id(row: &Row) -> i64 {
        row.loan_id
    }

    fn fields(row: &Row) -> Vec<Option<String>> {
        let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
        vec![
            Some(row.loan_id.to_string()),
            Some(row.customer_id.to_string()),
            row.external_id.clone(),
            row.decision_id.map(|id| id.to_string()),
            Some(row.principal.normalize().to_string()),
            Some(row.interest_rate.normalize().to_string()),
            Some(row.tenure.to_string()),
            Some(row.instalment.normalize().to_string()),
            Some(row.instalments_paid.to_string()),
            Some(row.started_on.to_string()),
            Some(row.ends_on.to_string()),
            Some(row.opened_at.to_rfc3339()),
            row.outstanding.map(|amount| amount.normalize().to_string()),
            day(row.settled_on),
            Some(row.revision.to_string()),
            Some(row.instalments_paid_on_time.to_string()),
            Some(row.instalments_paid_before_import.to_string()),
            day(row.next_due_on),
            day(row.written_off_on),
            // Records always are JSON: their keys are strings, and their numbers are decimals.
            row.repayments.as_ref().and_then(|repayments| serde_json::to_string(&repayments.0).ok()),
        ]
    }
}

#[cfg(test)]
mod tests;
