//! Partitions of the log: one customer's events stay in order in one of them, while workers share the rest.

use aggregates::ids::CustomerId;

/// How many there are. Checkpoints are kept for each, so changing it means rebuilding the read models.
pub const PARTITIONS: u8 = 8;

/// One of them, 0 to [`PARTITIONS`] - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(u8);

impl Partition {
    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    /// The one that a customer's events go to.
    #[must_use]
    pub fn of(customer: CustomerId) -> Self {
        // The remainder is below PARTITIONS, so it fits.
        Self(u8::try_from(customer.get() % i64::from(PARTITIONS)).unwrap_or(0))
    }

    /// The partition with that number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (number < PARTITIONS).then_some(Self(number))
    }

    /// 0 to [`PARTITIONS`] - 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
