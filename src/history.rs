//! How a customer stood on a past day, folded from the log up to the end of that day.
//!
//! This is what was known then, not what is known now: an event counts from the day on which the log recorded it.

use aggregates::customer::fold;
use aggregates::event::{LendingEvent, UnreadableEvent};
use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use chrono::NaiveDate;
use sqlx::PgExecutor;

use crate::commands::BusinessCalendar;
use crate::store::reader::read_customer;

/// What the log knew of a customer on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Its credit profile.
    Profile(CreditProfile),
    /// It became a customer later, on that day.
    Later(NaiveDate),
    /// Nothing, until today.
    Nothing,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] sqlx::Error),
    /// The customer's stream holds what this build cannot read.
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        /// Where it stands.
        position: i64,
        /// Why not.
        #[source]
        source: UnreadableEvent,
    },
}

/// A customer's credit profile as of the end of a business day.
///
/// # Errors
/// [`HistoryError`].
pub async fn profile_as_of(
    log: impl PgExecutor<'_>,
    customer: CustomerId,
    day: NaiveDate,
    calendar: BusinessCalendar,
) -> Result<Known, HistoryError> {
    let events = read_customer(log, customer, i64::MAX).await?;
    let Some(first) = events.first().map(|event| calendar.day(event.recorded_at)) else { return Ok(Known::Nothing) };
    let mut profile = None;
    for event in events.iter().take_while(|event| calendar.day(event.recorded_at) <= day) {
        let recorded =
            event.decode().map_err(|source| HistoryError::Unreadable { position: event.position, source })?;
        match &recorded.event {
            LendingEvent::Customer(event) => fold(&mut profile, event),
            LendingEvent::Loan(_) => {}
        }
    }
    Ok(profile.map_or(Known::Later(first), Known::Profile))
}
