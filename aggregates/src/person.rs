//! Who a customer is, apart from what a decision needs: names, age and phone number, kept together in
//! [`PersonalData`] so that one nested value of an event holds everything that data protection speaks of.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::money::{Money, OutOfRange};

/// The longest name, in characters after trimming.
pub const MAX_NAME_CHARS: usize = 100;
/// The highest monthly income, in rupees.
pub const MAX_MONTHLY_INCOME_RUPEES: i64 = 1_000_000_000;
const AGE_YEARS: std::ops::RangeInclusive<u8> = 18..=120;
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;
const LIMIT_MONTHS: i64 = 36;
const LAKH: i64 = 100_000;

/// A first or last name: 1 to 100 characters of any script after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as it was given, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = Invalid;

    fn try_from(name: &str) -> Result<Self, Invalid> {
        let name = name.trim();
        if name.is_empty() {
            return Err(Invalid::new("must not be empty"));
        }
        if name.chars().count() > MAX_NAME_CHARS {
            return Err(Invalid::new(format!("must have at most {MAX_NAME_CHARS} characters")));
        }
        if name.chars().any(char::is_control) {
            return Err(Invalid::new("must not contain control characters"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        Self::try_from(name.as_str())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Age in years: 18 to 120.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Age(u8);

impl Age {
    /// Years.
    #[must_use]
    pub const fn years(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Age {
    type Error = Invalid;

    fn try_from(years: u8) -> Result<Self, Invalid> {
        if AGE_YEARS.contains(&years) {
            Ok(Self(years))
        } else {
            Err(Invalid::new(format!("must be an integer from {} to {} years", AGE_YEARS.start(), AGE_YEARS.end())))
        }
    }
}

impl From<Age> for u8 {
    fn from(age: Age) -> Self {
        age.0
    }
}

/// A phone number: 5 to 15 digits, unique among customers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for PhoneNumber {
    type Error = Invalid;

    fn try_from(digits: &str) -> Result<Self, Invalid> {
        let digits = digits.trim();
        if PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(digits.to_owned()))
        } else {
            Err(Invalid::new(format!("must be {} to {} digits", PHONE_DIGITS.start(), PHONE_DIGITS.end())))
        }
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = Invalid;

    fn try_from(digits: String) -> Result<Self, Invalid> {
        Self::try_from(digits.as_str())
    }
}

impl From<PhoneNumber> for String {
    fn from(phone: PhoneNumber) -> Self {
        phone.0
    }
}

/// Everything about a customer that is personal, in one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalData {
    /// Given name.
    pub first_name: Name,
    /// Family name.
    pub last_name: Name,
    /// Years, as stated when the customer was registered.
    pub age: Age,
    /// Unique among customers.
    pub phone_number: PhoneNumber,
}

/// What of it changes: how a customer is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactData {
    /// Unique among customers.
    pub phone_number: PhoneNumber,
}

/// What a customer earns in a month: over 0, at most 1,000,000,000 rupees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct MonthlyIncome(Money);

impl MonthlyIncome {
    /// Rupees a month.
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }

    /// 36 months' income, rounded half up to the nearest lakh (100,000).
    ///
    /// # Errors
    /// Never within the input bound; beyond it the arithmetic says so instead of wrapping.
    pub fn approved_limit(self) -> Result<Money, OutOfRange> {
        let lakhs = (self.0.amount() * Decimal::from(LIMIT_MONTHS) / Decimal::from(LAKH))
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        Money::round(lakhs * Decimal::from(LAKH))
    }
}

impl TryFrom<Money> for MonthlyIncome {
    type Error = Invalid;

    fn try_from(money: Money) -> Result<Self, Invalid> {
        if money.is_zero() {
            return Err(Invalid::new("must be greater than 0"));
        }
        if money.amount() > Decimal::from(MAX_MONTHLY_INCOME_RUPEES) {
            return Err(Invalid::new(format!("must be at most {MAX_MONTHLY_INCOME_RUPEES}")));
        }
        Ok(Self(money))
    }
}

impl TryFrom<Decimal> for MonthlyIncome {
    type Error = Invalid;

    fn try_from(amount: Decimal) -> Result<Self, Invalid> {
        if amount <= Decimal::ZERO {
            return Err(Invalid::new("must be greater than 0"));
        }
        Money::try_from(amount)?.try_into()
    }
}

impl From<MonthlyIncome> for Money {
    fn from(income: MonthlyIncome) -> Self {
        income.0
    }
}
