//! Which of a read model's two tables: the one that queries see, or the one that a rebuild fills.

use crate::Projection;

/// A read model's table. Its name is also the key of its checkpoints and of what is parked in it, so that the one
/// apply path serves both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// What queries are answered from.
    Live(Projection),
    /// What a rebuild fills, until it takes the live table's place.
    Rebuild(Projection),
}

impl Target {
    /// Of which read model.
    #[must_use]
    pub const fn projection(self) -> Projection {
        match self {
            Self::Live(projection) | Self::Rebuild(projection) => projection,
        }
    }

    /// The table's name, without its schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live(projection) => projection.name(),
            Self::Rebuild(Projection::Customers) => "customers_rebuild",
            Self::Rebuild(Projection::Loans) => "loans_rebuild",
            Self::Rebuild(Projection::CreditProfiles) => "credit_profiles_rebuild",
            Self::Rebuild(Projection::Decisions) => "decisions_rebuild",
        }
    }
}

/// The table with its schema, as SQL names it.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "read_models.{}", self.name())
    }
}
