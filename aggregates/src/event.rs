//! One event of the log, of whichever aggregate, for readers that see them all in order.

use cqrs_es::{Aggregate, DomainEvent};

use crate::customer::{Customer, CustomerEvent};
use crate::loan::{Loan, LoanEvent};

/// An event of any aggregate.
#[derive(Debug, Clone, PartialEq)]
pub enum LendingEvent {
    /// Of a customer's stream.
    Customer(CustomerEvent),
    /// Of a loan's stream.
    Loan(LoanEvent),
}

/// Why a stored event cannot be read. It is never skipped for that.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// No aggregate of that type.
    #[error("unknown aggregate type '{0}'")]
    AggregateType(String),
    /// Written by another version of the product.
    #[error("unknown event '{event_type}', version {version}")]
    Version {
        /// The event's type.
        event_type: String,
        /// The version it was written in.
        version: String,
    },
    /// The payload is not that event.
    #[error("the payload of event '{event_type}', version {version}, cannot be read")]
    Payload {
        /// The event's type.
        event_type: String,
        /// The version it was written in.
        version: String,
        /// What the decoder says.
        source: serde_json::Error,
    },
}

impl LendingEvent {
    /// Decodes a stored event.
    ///
    /// # Errors
    /// [`UnreadableEvent`], when its type or version is unknown or its payload is not what the type says.
    pub fn decode(
        aggregate_type: &str,
        event_type: &str,
        version: &str,
        payload: &str,
    ) -> Result<Self, UnreadableEvent> {
        let unreadable = |source| UnreadableEvent::Payload {
            event_type: event_type.to_owned(),
            version: version.to_owned(),
            source,
        };
        let event = match aggregate_type {
            Customer::TYPE => Self::Customer(serde_json::from_str(payload).map_err(unreadable)?),
            Loan::TYPE => Self::Loan(serde_json::from_str(payload).map_err(unreadable)?),
            other => return Err(UnreadableEvent::AggregateType(other.to_owned())),
        };
        let known = match &event {
            Self::Customer(event) => (event.event_type(), event.event_version()),
            Self::Loan(event) => (event.event_type(), event.event_version()),
        };
        if known.0 != event_type || known.1 != version {
            return Err(UnreadableEvent::Version { event_type: event_type.to_owned(), version: version.to_owned() });
        }
        Ok(event)
    }
}
