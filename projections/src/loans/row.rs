//! A row of `read_models.loans`, and what events make of it.

use aggregates::event::LendingEvent;
use aggregates::loan::{LoanEvent, LoanTerms};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

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
}

/// A count of instalments; a tenure, which bounds them all, is at most 480.
fn count(instalments: u16) -> i16 {
    i16::try_from(instalments).unwrap_or(i16::MAX)
}

impl Row {
    fn new(terms: &LoanTerms, instalments_paid: u16, opened_at: DateTime<Utc>) -> Self {
        let tenure = terms.tenure.months();
        Self {
            loan_id: terms.loan_id.get(),
            customer_id: terms.customer_id.get(),
            external_id: None,
            decision_id: None,
            principal: terms.principal.money().amount(),
            interest_rate: terms.interest_rate.percent(),
            tenure: count(tenure),
            instalment: terms.instalment.amount(),
            instalments_paid: count(instalments_paid.min(tenure)),
            started_on: terms.started_on,
            ends_on: terms.ends_on,
            opened_at: kept(opened_at),
            outstanding: None,
            settled_on: None,
        }
    }
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
    ];
    type Row = Row;

    fn change(event: &RecordedEvent) -> Option<Change> {
        match &event.event {
            LendingEvent::Loan(LoanEvent::LoanOpened(opened)) => {
                Some(Change { id: opened.terms.loan_id.get(), begins: true })
            }
            LendingEvent::Loan(LoanEvent::LoanImported(imported)) => {
                Some(Change { id: imported.terms.loan_id.get(), begins: true })
            }
            LendingEvent::Loan(LoanEvent::RepaymentReceived(received)) => {
                Some(Change { id: received.loan_id.get(), begins: false })
            }
            LendingEvent::Customer(_) => None,
        }
    }

    fn fold(row: &mut Option<Row>, event: &RecordedEvent) -> Result<(), FoldError> {
        match &event.event {
            LendingEvent::Loan(LoanEvent::LoanOpened(opened)) => {
                let decision_id = Some(opened.decision_id.get());
                *row = Some(Row { decision_id, ..Row::new(&opened.terms, 0, opened.opened_at) });
            }
            LendingEvent::Loan(LoanEvent::LoanImported(imported)) => {
                let loan = Row::new(&imported.terms, imported.instalments_paid_on_time, imported.imported_at);
                *row = Some(Row { external_id: imported.external_id.clone(), ..loan });
            }
            LendingEvent::Loan(LoanEvent::RepaymentReceived(received)) => {
                let loan = row.as_mut().ok_or(FoldError::UnknownLoan(received.loan_id))?;
                loan.instalments_paid = count(received.instalments_paid);
                loan.outstanding = Some(received.outstanding.amount());
                loan.settled_on = received.settled.then_some(received.paid_on);
            }
            LendingEvent::Customer(_) => {}
        }
        Ok(())
    }

    fn id(row: &Row) -> i64 {
        row.loan_id
    }

    fn fields(row: &Row) -> Vec<Option<String>> {
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
            row.settled_on.map(|day| day.to_string()),
        ]
    }
}
