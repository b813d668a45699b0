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

/// Every event that this version of the product reads: of which aggregate, its type, and the version it is written in.
pub const KNOWN: [(&str, &str, &str); 16] = [
    (Customer::TYPE, "CustomerImported", "1.0"),
    (Customer::TYPE, "CustomerRegistered", "1.0"),
    (Customer::TYPE, "LoanApproved", "1.0"),
    (Customer::TYPE, "LoanCarriedOver", "1.0"),
    (Customer::TYPE, "LoanDeclined", "1.0"),
    (Customer::TYPE, "LoanWriteOffRecorded", "1.0"),
    (Customer::TYPE, "MonthlyIncomeChanged", "1.0"),
    (Customer::TYPE, "PhoneNumberChanged", "1.0"),
    (Customer::TYPE, "RepaymentRecorded", "1.0"),
    (Customer::TYPE, "RepaymentReversalRecorded", "1.0"),
    (Loan::TYPE, "LoanImported", "1.0"),
    (Loan::TYPE, "LoanOpened", "1.0"),
    (Loan::TYPE, "LoanSettledEarly", "1.0"),
    (Loan::TYPE, "LoanWrittenOff", "1.0"),
    (Loan::TYPE, "RepaymentReceived", "1.0"),
    (Loan::TYPE, "RepaymentReversed", "1.0"),
];

/// Whether this version of the product knows such events. Those that it does not were written by a newer one.
#[must_use]
pub fn is_known(aggregate_type: &str, event_type: &str, version: &str) -> bool {
    KNOWN.contains(&(aggregate_type, event_type, version))
}

/// Why a stored event cannot be read. It is never skipped for that.
#[derive(Debug, Clone, thiserror::Error)]
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
    #[error("the payload of event '{event_type}', version {version}, cannot be read: {reason}")]
    Payload {
        /// The event's type.
        event_type: String,
        /// The version it was written in.
        version: String,
        /// What the decoder says, without the values that it quotes: they may be names, numbers and incomes.
        reason: String,
    },
}

/// A decoder's message without the values in it: `invalid type: string "Asha", expected u8` speaks of `string …`.
#[must_use]
pub fn without_values(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let mut text = String::with_capacity(message.len());
    let mut rest = message.as_str();
    while let Some(found) = VALUES.iter().filter_map(|(before, quote)| Some((rest.find(before)?, before, quote))).min()
    {
        let (place, before, quote) = found;
        let begins = place + before.len();
        text.push_str(&rest[..begins]);
        text.push('…');
        // A quoted text may hold quotes itself: what follows the last of them is the decoder's own again.
        let end = if *quote == '"' { rest[begins..].rfind(*quote) } else { rest[begins..].find(*quote) };
        rest = end.map_or("", |end| &rest[begins + end..]);
    }
    text.push_str(rest);
    text
}

/// What stands before a value in a decoder's message, and the quote that ends it.
const VALUES: [(&str, char); 5] =
    [("string \"", '"'), ("integer `", '`'), ("floating point `", '`'), ("character `", '`'), ("boolean `", '`')];

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
        let unreadable = |error: serde_json::Error| UnreadableEvent::Payload {
            event_type: event_type.to_owned(),
            version: version.to_owned(),
            reason: without_values(&error),
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

#[cfg(test)]
mod tests {
    use super::without_values;

    fn message<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        without_values(&serde_json::from_str::<T>(json).unwrap_err())
    }

    #[test]
    fn what_a_decoder_quotes_of_the_payload_is_left_out() {
        assert_eq!(
            message::<u8>("\"Asha \\\"A\\\" Rao\""),
            "invalid type: string \"…\", expected u8 at line 1 column 16"
        );
        assert_eq!(message::<String>("50000"), "invalid type: integer `…`, expected a string at line 1 column 5");
        assert_eq!(message::<u8>("50000"), "invalid value: integer `…`, expected u8 at line 1 column 5");
        assert_eq!(message::<[u8; 2]>("[1]"), "invalid length 1, expected an array of length 2 at line 1 column 3");
    }
}
