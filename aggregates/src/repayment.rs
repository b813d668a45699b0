//! What a repayment is made of: an amount and a reference, each within its input bound.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::money::Money;
use crate::text::visible;

/// The largest repayment, in rupees.
pub const MAX_REPAYMENT_RUPEES: i64 = 10_000_000_000;
/// The longest reference, in characters after trimming.
pub const MAX_REFERENCE_CHARS: usize = 100;

/// The amount repaid at once: over 0, at most 10,000,000,000 rupees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct RepaymentAmount(Money);

impl RepaymentAmount {
    /// Rupees.
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

impl TryFrom<Money> for RepaymentAmount {
    type Error = Invalid;

    fn try_from(money: Money) -> Result<Self, Invalid> {
        if money.is_zero() {
            return Err(Invalid::new("must be greater than 0"));
        }
        if money.amount() > Decimal::from(MAX_REPAYMENT_RUPEES) {
            return Err(Invalid::new(format!("must be at most {MAX_REPAYMENT_RUPEES}")));
        }
        Ok(Self(money))
    }
}

impl TryFrom<Decimal> for RepaymentAmount {
    type Error = Invalid;

    fn try_from(amount: Decimal) -> Result<Self, Invalid> {
        if amount <= Decimal::ZERO {
            return Err(Invalid::new("must be greater than 0"));
        }
        Money::try_from(amount)?.try_into()
    }
}

impl From<RepaymentAmount> for Money {
    fn from(amount: RepaymentAmount) -> Self {
        amount.0
    }
}

impl std::fmt::Display for RepaymentAmount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What whoever paid calls the payment: 1 to 100 visible characters of any script after trimming, spaces between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(String);

impl Reference {
    /// The reference as it was given, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Reference {
    type Error = Invalid;

    fn try_from(reference: &str) -> Result<Self, Invalid> {
        visible(reference, MAX_REFERENCE_CHARS).map(Self)
    }
}

impl TryFrom<String> for Reference {
    type Error = Invalid;

    fn try_from(reference: String) -> Result<Self, Invalid> {
        Self::try_from(reference.as_str())
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.0
    }
}
