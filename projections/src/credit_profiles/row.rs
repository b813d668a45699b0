//! A row of `read_models.credit_profiles`: what the aggregate's own fold makes of a customer's events.

use aggregates::customer::{CustomerEvent, fold};
use aggregates::event::LendingEvent;
use aggregates::profile::CreditProfile;

use crate::model::{Change, Column, FoldError, ReadModel};
use crate::{Projection, RecordedEvent};

/// The read model.
pub(crate) struct CreditProfiles;

/// A customer's credit profile.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    customer_id: i64,
    #[sqlx(json)]
    profile: CreditProfile,
}

impl ReadModel for CreditProfiles {
    const PROJECTION: Projection = Projection::CreditProfiles;
    const COLUMNS: &'static [Column] = &[Column("customer_id", "bigint"), Column("profile", "json")];
    type Row = Row;

    fn change(event: &RecordedEvent) -> Option<Change> {
        let change = |begins| Some(Change { id: event.customer_id.get(), begins });
        match &event.event {
            LendingEvent::Customer(CustomerEvent::CustomerRegistered(_) | CustomerEvent::CustomerImported(_)) => {
                change(true)
            }
            LendingEvent::Customer(
                CustomerEvent::LoanApproved(_)
                | CustomerEvent::LoanCarriedOver(_)
                | CustomerEvent::RepaymentRecorded(_)
                | CustomerEvent::MonthlyIncomeChanged(_)
                | CustomerEvent::RepaymentReversalRecorded(_)
                | CustomerEvent::LoanWriteOffRecorded(_),
            ) => change(false),
            LendingEvent::Customer(CustomerEvent::LoanDeclined(_) | CustomerEvent::PhoneNumberChanged(_))
            | LendingEvent::Loan(_) => None,
        }
    }

    fn fold(row: &mut Option<Row>, event: &RecordedEvent) -> Result<(), FoldError> {
        let LendingEvent::Customer(change) = &event.event else { return Ok(()) };
        let mut profile = row.take().map(|row| row.profile);
        fold(&mut profile, change);
        let profile = profile.ok_or(FoldError::UnknownCustomer(event.customer_id))?;
        *row = Some(Row { customer_id: event.customer_id.get(), profile });
        Ok(())
    }

    fn id(row: &Row) -> i64 {
        row.customer_id
    }

    fn fields(row: &Row) -> Vec<Option<String>> {
        // A profile always is JSON: its keys are strings, and its numbers are decimals.
        vec![Some(row.customer_id.to_string()), serde_json::to_string(&row.profile).ok()]
    }
}
