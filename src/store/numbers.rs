//! Reserved phone numbers, held against what the log says of their customers.
//!
//! A number is reserved, and given back, in the transaction of the event that says so. So what is read in one snapshot
//! agrees, however busy the log is; what is read in several is only a suspicion.

use std::collections::HashMap;

use aggregates::customer::{Customer, CustomerEvent};
use aggregates::event::LendingEvent;
use aggregates::ids::CustomerId;
use cqrs_es::Aggregate;
use projections::rebuilds::Range;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};

use super::reader::Entry;

/// The events that say which number a customer has.
const TELLING: [&str; 3] = ["CustomerRegistered", "CustomerImported", "PhoneNumberChanged"];

/// What is wrong about a number; the number itself is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberFault {
    /// The customer's number is reserved for nobody.
    Free {
        /// Whose number.
        customer: i64,
    },
    /// The customer's number is reserved for somebody else.
    Taken {
        /// Whose number.
        customer: i64,
        /// Who holds it.
        holder: i64,
    },
    /// A number is reserved for a customer who has another one, or none.
    Stale {
        /// For whom.
        holder: i64,
    },
}

impl std::fmt::Display for NumberFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Free { customer } => write!(f, "phone numbers, customer {customer}: its number is not reserved"),
            Self::Taken { customer, holder } => {
                write!(f, "phone numbers, customer {customer}: its number is reserved for customer {holder}")
            }
            Self::Stale { holder } => {
                write!(f, "phone numbers, customer {holder}: a number is reserved for it that is not its own")
            }
        }
    }
}

/// An event that gives a customer a phone number must say which one, to this build too.
///
/// # Errors
/// [`Untold`].
pub fn must_tell(event: &Entry) -> Result<(), Untold> {
    if event.aggregate_type != Customer::TYPE || !TELLING.contains(&event.event_type.as_str()) {
        return Ok(());
    }
    let Entry { event_type, event_version, payload, .. } = event.clone();
    Telling { event_type, event_version, payload }.number().map(drop).ok_or(Untold { position: event.position })
}

/// An event from which the number of its customer cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} gives a customer a phone number, and this build cannot read it")]
pub struct Untold {
    /// Where it is.
    pub position: i64,
}

/// The event that says last which number a customer has.
#[derive(FromRow)]
struct Telling {
    event_type: String,
    event_version: String,
    payload: Json<Box<RawValue>>,
}

impl Telling {
    /// The number; `None` when the event cannot be read.
    fn number(&self) -> Option<String> {
        let payload = self.payload.0.get();
        let event = LendingEvent::decode(Customer::TYPE, &self.event_type, &self.event_version, payload).ok()?;
        let LendingEvent::Customer(event) = event else { return None };
        let personal = match event {
            CustomerEvent::CustomerRegistered(registered) => registered.personal.phone_number,
            CustomerEvent::CustomerImported(imported) => imported.personal.phone_number,
            CustomerEvent::PhoneNumberChanged(changed) => changed.personal.phone_number,
            CustomerEvent::LoanApproved(_)
            | CustomerEvent::LoanDeclined(_)
            | CustomerEvent::LoanCarriedOver(_)
            | CustomerEvent::RepaymentRecorded(_)
            | CustomerEvent::RepaymentReversalRecorded(_)
            | CustomerEvent::LoanWriteOffRecorded(_)
            | CustomerEvent::MonthlyIncomeChanged(_) => return None,
        };
        Some(personal.as_str().to_owned())
    }
}

/// The customers of a range, each with the number that the log says it has, unless that cannot be told.
///
/// # Errors
/// When the database does not answer.
pub async fn told_in(
    connection: &mut PgConnection,
    range: Range,
    up_to: i64,
) -> Result<Vec<(i64, Option<String>)>, sqlx::Error> {
    #[derive(FromRow)]
    struct Told {
        customer_id: i64,
        #[sqlx(flatten)]
        telling: Telling,
    }
    let told: Vec<Told> = sqlx::query_as(
        "select distinct on (customer_id) customer_id, event_type, event_version, payload from events
         where customer_id > $1 and customer_id <= $2 and position <= $3
           and aggregate_type = $4 and event_type = any($5)
         order by customer_id, position desc",
    )
    .bind(range.after)
    .bind(range.to)
    .bind(up_to)
    .bind(Customer::TYPE)
    .bind(TELLING)
    .fetch_all(connection)
    .await?;
    Ok(told.into_iter().map(|told| (told.customer_id, told.telling.number())).collect())
}

/// Which of these customers have no reservation of their number, their numbers being what was read of the log before.
///
/// # Errors
/// When the database does not answer.
pub async fn unreserved(log: &PgPool, current: &[(CustomerId, String)]) -> Result<Vec<NumberFault>, sqlx::Error> {
    let numbers: Vec<_> = current.iter().map(|(_, number)| number.as_str()).collect();
    let held: Vec<(String, i64)> =
        sqlx::query_as("select phone_number, customer_id from phone_numbers where phone_number = any($1)")
            .bind(&numbers)
            .fetch_all(log)
            .await?;
    let held: HashMap<_, _> = held.into_iter().collect();
    let mut faults = Vec::new();
    for (customer, number) in current {
        if held.get(number) != Some(&customer.get()) {
            // It may have changed since the log was read.
            faults.extend(fault_of(log, customer.get()).await?);
        }
    }
    Ok(faults)
}

/// What is wrong with the reservation of a customer's number, in one snapshot.
async fn fault_of(log: &PgPool, customer: i64) -> Result<Option<NumberFault>, sqlx::Error> {
    let mut snapshot = log.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *snapshot).await?;
    let fault = match told(&mut snapshot, customer).await?.and_then(|told| told.number()) {
        Some(number) => match holder(&mut snapshot, &number).await? {
            Some(holder) if holder == customer => None,
            Some(holder) => Some(NumberFault::Taken { customer, holder }),
            None => Some(NumberFault::Free { customer }),
        },
        None => None,
    };
    snapshot.rollback().await?;
    Ok(fault)
}

async fn told(connection: &mut PgConnection, customer: i64) -> Result<Option<Telling>, sqlx::Error> {
    sqlx::query_as(
        "select event_type, event_version, payload from events
         where aggregate_type = $1 and aggregate_id = $2 and event_type = any($3)
         order by sequence desc limit 1",
    )
    .bind(Customer::TYPE)
    .bind(customer.to_string())
    .bind(TELLING)
    .fetch_optional(connection)
    .await
}

async fn holder(connection: &mut PgConnection, number: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select customer_id from phone_numbers where phone_number = $1")
        .bind(number)
        .fetch_optional(connection)
        .await
}

/// A reservation, and what the log says of its customer in the same snapshot.
#[derive(FromRow)]
struct Reservation {
    phone_number: String,
    holder: i64,
    event_type: Option<String>,
    event_version: Option<String>,
    payload: Option<Json<Box<RawValue>>>,
}

impl Reservation {
    /// That it is not its customer's number. Of one whose event cannot be read, nothing is known.
    fn fault(self) -> Option<NumberFault> {
        let stale = NumberFault::Stale { holder: self.holder };
        let (Some(event_type), Some(event_version), Some(payload)) =
            (self.event_type, self.event_version, self.payload)
        else {
            return Some(stale);
        };
        let number = Telling { event_type, event_version, payload }.number()?;
        (number != self.phone_number).then_some(stale)
    }
}

/// The faults of a page of reservations.
#[derive(Debug)]
pub struct Page {
    /// Numbers that are not those of their customers.
    pub faults: Vec<NumberFault>,
    /// The number behind which the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// Looks at up to `limit` reservations behind a number, in the order of numbers.
///
/// # Errors
/// When the database does not answer.
pub async fn stale(log: &PgPool, after: &str, limit: u16) -> Result<Page, sqlx::Error> {
    let held: Vec<Reservation> = sqlx::query_as(
        "select held.phone_number, held.customer_id as holder, told.event_type, told.event_version, told.payload
         from (select phone_number, customer_id from phone_numbers where phone_number > $1
               order by phone_number limit $2) held
              left join lateral
                   (select event_type, event_version, payload from events
                    where aggregate_type = $3 and aggregate_id = held.customer_id::text and event_type = any($4)
                    order by sequence desc limit 1) told on true
         order by held.phone_number",
    )
    .bind(after)
    .bind(i64::from(limit))
    .bind(Customer::TYPE)
    .bind(TELLING)
    .fetch_all(log)
    .await?;
    let is_last = held.len() < usize::from(limit);
    let next = held.last().map(|last| last.phone_number.clone()).filter(|_| !is_last);
    Ok(Page { faults: held.into_iter().filter_map(Reservation::fault).collect(), next })
}
