//! What a loan is asked for and granted on: principal, rate and tenure, each within its input bound.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::money::Money;

/// Decimals of a rate.
pub const RATE_DECIMALS: u32 = 4;
/// The longest tenure, in months.
pub const MAX_TENURE_MONTHS: u16 = 480;
/// The largest loan, in rupees.
pub const MAX_PRINCIPAL_RUPEES: i64 = 10_000_000_000;
const MAX_RATE_PERCENT: i64 = 100;

/// An annual interest rate in percent: 0 to 100, four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Rate(Decimal);

impl Rate {
    /// No interest.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Percent a year.
    #[must_use]
    pub const fn percent(self) -> Decimal {
        self.0
    }
}

impl TryFrom<Decimal> for Rate {
    type Error = Invalid;

    fn try_from(percent: Decimal) -> Result<Self, Invalid> {
        let percent = percent.normalize();
        if percent < Decimal::ZERO || percent > Decimal::from(MAX_RATE_PERCENT) {
            return Err(Invalid::new("must be from 0 to 100 percent a year"));
        }
        if percent.scale() > RATE_DECIMALS {
            return Err(Invalid::new("must have at most four decimals"));
        }
        Ok(Self(percent))
    }
}

impl From<Rate> for Decimal {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Months over which a loan is repaid: 1 to 480.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Tenure(u16);

impl Tenure {
    /// The longest there is.
    pub const MAX: Self = Self(MAX_TENURE_MONTHS);

    /// Months.
    #[must_use]
    pub const fn months(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Tenure {
    type Error = Invalid;

    fn try_from(months: u16) -> Result<Self, Invalid> {
        match months {
            1..=MAX_TENURE_MONTHS => Ok(Self(months)),
            _ => Err(Invalid::new(format!("must be an integer from 1 to {MAX_TENURE_MONTHS} months"))),
        }
    }
}

impl From<Tenure> for u16 {
    fn from(tenure: Tenure) -> Self {
        tenure.0
    }
}

impl std::fmt::Display for Tenure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The amount lent: over 0, at most 10,000,000,000 rupees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct Principal(Money);

impl Principal {
    /// Rupees.
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

impl TryFrom<Money> for Principal {
    type Error = Invalid;

    fn try_from(money: Money) -> Result<Self, Invalid> {
        if money.is_zero() {
            return Err(Invalid::new("must be greater than 0"));
        }
        if money.amount() > Decimal::from(MAX_PRINCIPAL_RUPEES) {
            return Err(Invalid::new(format!("must be at most {MAX_PRINCIPAL_RUPEES}")));
        }
        Ok(Self(money))
    }
}

impl TryFrom<Decimal> for Principal {
    type Error = Invalid;

    fn try_from(amount: Decimal) -> Result<Self, Invalid> {
        if amount <= Decimal::ZERO {
            return Err(Invalid::new("must be greater than 0"));
        }
        Money::try_from(amount)?.try_into()
    }
}

impl From<Principal> for Money {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
