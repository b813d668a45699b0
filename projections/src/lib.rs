//! The read models: a folder each, with its table's only writer and its reader side by side.
//!
//! [`apply`] is the one path by which an event becomes a row: workers that follow the log and rebuilds by replay
//! both go through it. Effect and checkpoint are one transaction, so an event takes effect exactly once however often
//! it is delivered. This crate knows PostgreSQL and the domain; it knows no HTTP and no message bus.

pub mod apply;
pub mod checkpoint;
pub mod credit_profiles;
pub mod customers;
pub mod event;
pub mod loans;
pub mod partition;

pub use apply::{ApplyError, apply};
pub use event::{RecordedEvent, StoredEvent};
pub use partition::{PARTITIONS, Partition};

/// The read models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Who the customers are.
    Customers,
    /// Every loan with its terms.
    Loans,
    /// All that eligibility needs of a customer.
    CreditProfiles,
}

impl Projection {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Customers, Self::Loans, Self::CreditProfiles];

    /// The name that checkpoints, consumers and operators use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Loans => "loans",
            Self::CreditProfiles => "credit_profiles",
        }
    }

    /// Its place in [`Projection::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Customers => 0,
            Self::Loans => 1,
            Self::CreditProfiles => 2,
        }
    }
}

impl std::fmt::Display for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
