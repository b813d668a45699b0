//! The read models: a folder each, with what its table's rows are made of and its reader side by side.
//!
//! [`apply`] is the one path by which an event becomes a row: workers that follow the log and rebuilds that catch up
//! with it go through it, and what rebuilds fill in in bulk ([`shadow`]) and verification expects ([`compare`]) is the
//! same fold. Effect and checkpoint are one transaction, so an event takes effect exactly once however often it is
//! delivered; one that cannot be applied parks its customer ([`parked`]). This crate knows PostgreSQL and the domain; it
//! knows no HTTP and no message bus.

pub mod apply;
pub mod bounds;
pub mod checkpoint;
pub mod compare;
pub mod credit_profiles;
pub mod customer;
pub mod customers;
pub mod decisions;
pub mod event;
pub mod keyset;
pub mod loans;
mod model;
pub mod parked;
pub mod partition;
pub mod plan;
pub mod rebuilds;
pub mod replace;
pub mod replaced;
pub mod shadow;
pub mod slot;
pub mod statement;
mod target;
pub mod together;
pub mod workers;

pub use apply::{Applied, ApplyError, apply};
pub use customer::CustomerEvents;
pub use event::{Decoded, RecordedEvent, StoredEvent};
pub use model::FoldError;
pub use partition::{PARTITIONS, Partition};
pub use slot::{SLOTS, Slot, slot_index, slots};
pub use target::Target;

/// The read models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Who the customers are.
    Customers,
    /// Every loan with its terms.
    Loans,
    /// All that eligibility needs of a customer.
    CreditProfiles,
    /// Every decision with all that it was taken from.
    Decisions,
}

impl Projection {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Customers, Self::Loans, Self::CreditProfiles, Self::Decisions];

    /// The name that checkpoints, consumers and operators use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Loans => "loans",
            Self::CreditProfiles => "credit_profiles",
            Self::Decisions => "decisions",
        }
    }

    /// The projection of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|projection| projection.name() == name)
    }

    /// The version of what its fold makes of events, and of the columns it writes: raised whenever either changes. A
    /// read model that an earlier version made is rebuilt in the background at the next start.
    #[must_use]
    pub const fn version(self) -> i16 {
        match self {
            Self::Decisions => 1,
            Self::Customers => 2,
            Self::Loans | Self::CreditProfiles => 3,
        }
    }

    /// The first version of its fold that fills in all that queries read. Rows that an earlier one made lack some of it.
    #[must_use]
    pub const fn answers_since(self) -> i16 {
        match self {
            Self::Customers | Self::Decisions => 1,
            Self::CreditProfiles => 2,
            Self::Loans => 3,
        }
    }

    /// Its place in [`Projection::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Customers => 0,
            Self::Loans => 1,
            Self::CreditProfiles => 2,
            Self::Decisions => 3,
        }
    }
}

impl std::fmt::Display for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
