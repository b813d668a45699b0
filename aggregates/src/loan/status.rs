//! How a loan stands on a day, in a word.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The states of a loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoanStatus {
    /// It runs, and nothing is overdue.
    Active,
    /// An instalment that has fallen due is not paid in full.
    Overdue,
    /// It was written off and is still owed.
    WrittenOff,
    /// Nothing is left to pay.
    Settled,
}

impl LoanStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Overdue, Self::WrittenOff, Self::Settled];

    /// How a loan stands on a day. `next_due_on` is the due date of its first instalment that is not paid in full,
    /// `None` when nothing is left to pay. What is recovered in full after a write-off is settled.
    #[must_use]
    pub fn on(day: NaiveDate, next_due_on: Option<NaiveDate>, written_off_on: Option<NaiveDate>) -> Self {
        let Some(next_due_on) = next_due_on else { return Self::Settled };
        if written_off_on.is_some() {
            Self::WrittenOff
        } else if next_due_on < day {
            Self::Overdue
        } else {
            Self::Active
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Overdue => "overdue",
            Self::WrittenOff => "written_off",
            Self::Settled => "settled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}
