//! Rupees with two decimals, and the one rounding rule: half up, once, at the end.
//!
//! Every sum is checked. `Money` never holds a negative amount: a difference that would be negative is an `Option`
//! that the caller has to look at.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Decimals of an amount.
pub const MONEY_DECIMALS: u32 = 2;

/// Rupees no amount may exceed, a sum over all of a customer's loans included: 10^18, a hundred million times the
/// largest loan.
const MAX_RUPEES: i64 = 1_000_000_000_000_000_000;

/// An amount of rupees: zero or more, two decimals, at most 10^18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Money(Decimal);

/// A calculation left the range that [`Money`] can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is out of range")]
pub struct OutOfRange;

impl Money {
    /// No rupees.
    pub const ZERO: Self = Self(Decimal::from_parts(0, 0, 0, false, MONEY_DECIMALS));

    /// Whole rupees.
    #[must_use]
    pub fn rupees(amount: u32) -> Self {
        Self(Decimal::from(amount).with_scale(MONEY_DECIMALS))
    }

    /// Rounds half up to two decimals: the end of a calculation.
    ///
    /// # Errors
    /// When the result is negative or beyond the range.
    pub fn round(exact: Decimal) -> Result<Self, OutOfRange> {
        let rounded = exact.round_dp_with_strategy(MONEY_DECIMALS, RoundingStrategy::MidpointAwayFromZero);
        Self::try_from(rounded).map_err(|_| OutOfRange)
    }

    /// The amount as a decimal number of rupees.
    #[must_use]
    pub const fn amount(self) -> Decimal {
        self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The sum.
    ///
    /// # Errors
    /// When it is beyond the range.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        let sum = self.0.checked_add(other.0).ok_or(OutOfRange)?;
        Self::try_from(sum).map_err(|_| OutOfRange)
    }

    /// The difference, `None` where it would be below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        (self >= other).then(|| Self((self.0 - other.0).with_scale(MONEY_DECIMALS)))
    }
}

/// `rescale` that returns its value.
trait WithScale {
    fn with_scale(self, decimals: u32) -> Self;
}

impl WithScale for Decimal {
    fn with_scale(mut self, decimals: u32) -> Self {
        self.rescale(decimals);
        self
    }
}

impl TryFrom<Decimal> for Money {
    type Error = Invalid;

    fn try_from(amount: Decimal) -> Result<Self, Invalid> {
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(Invalid::new("must not be negative"));
        }
        if amount > Decimal::from(MAX_RUPEES) {
            return Err(Invalid::new("is too large"));
        }
        if amount.normalize().scale() > MONEY_DECIMALS {
            return Err(Invalid::new("must have at most two decimals"));
        }
        Ok(Self(amount.abs().with_scale(MONEY_DECIMALS)))
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        money.0
    }
}

/// Plain digits with two decimals: `8791.59`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}
