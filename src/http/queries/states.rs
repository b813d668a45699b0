//! How loans and their instalments stand, in the API's words.

use aggregates::loan;
use aggregates::loan::account;
use serde::Serialize;
use utoipa::ToSchema;

/// How a loan stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LoanStatus {
    /// Something is left to pay, and nothing is late.
    Active,
    /// An instalment is not paid in full, and its due date has passed.
    Overdue,
    /// What is left is no longer expected. It is still owed.
    WrittenOff,
    /// Nothing is left to pay.
    Settled,
}

/// How an instalment stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InstalmentStatus {
    /// Nothing of it is left to pay.
    Paid,
    /// Some of it is paid, and its due date has not passed.
    PartlyPaid,
    /// Its month has begun, and its due date has not passed.
    Due,
    /// Something of it is left to pay, and its due date has passed.
    Overdue,
    /// Its month has not begun.
    Upcoming,
}

impl From<loan::LoanStatus> for LoanStatus {
    fn from(status: loan::LoanStatus) -> Self {
        match status {
            loan::LoanStatus::Active => Self::Active,
            loan::LoanStatus::Overdue => Self::Overdue,
            loan::LoanStatus::WrittenOff => Self::WrittenOff,
            loan::LoanStatus::Settled => Self::Settled,
        }
    }
}

impl From<account::InstalmentState> for InstalmentStatus {
    fn from(state: account::InstalmentState) -> Self {
        match state {
            account::InstalmentState::Paid => Self::Paid,
            account::InstalmentState::PartlyPaid => Self::PartlyPaid,
            account::InstalmentState::Due => Self::Due,
            account::InstalmentState::Overdue => Self::Overdue,
            account::InstalmentState::Upcoming => Self::Upcoming,
        }
    }
}
