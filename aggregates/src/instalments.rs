//! Equated monthly instalments: what is paid each month, and the schedule that ends at exactly zero.
//!
//! The annuity is `P*i / (1 - (1+i)^-n)` with `i = rate/1200`, the textbook's `P*i*(1+i)^n / ((1+i)^n - 1)` divided
//! by `(1+i)^n`, so that no power grows beyond what 28 digits hold. Interest of a period is rounded half up on the
//! balance; the last instalment is what is left plus its interest.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::money::{Money, OutOfRange};
use crate::terms::{Principal, Rate, Tenure};

const MONTHS_TIMES_PERCENT: i64 = 1200;

/// Decimals of an annuity that its computation gets right. What lies beyond is the computation's own error, at most
/// 1.2e-11 within the input bounds; dropping it brings back an instalment of exactly half a paisa, which rounds up.
const EXACT_DECIMALS: u32 = 10;

/// The instalment of every month but the last, in rupees.
///
/// # Errors
/// When the amount leaves the range of [`Money`]; not within the input bounds.
pub fn instalment(principal: Principal, rate: Rate, tenure: Tenure) -> Result<Money, OutOfRange> {
    let amount = principal.money().amount();
    let months = Decimal::from(tenure.months());
    if rate == Rate::ZERO {
        return Money::round(amount / months);
    }
    let monthly = monthly_rate(rate);
    let mut discount = Decimal::ONE;
    for factor in square_and_multiply(Decimal::ONE / (Decimal::ONE + monthly), tenure.months()) {
        discount = discount.checked_mul(factor).ok_or(OutOfRange)?;
    }
    let exact = amount.checked_mul(monthly).and_then(|n| n.checked_div(Decimal::ONE - discount)).ok_or(OutOfRange)?;
    Money::round(exact.round_dp(EXACT_DECIMALS))
}

/// The factors `base^(2^k)` whose product is `base^exponent`.
fn square_and_multiply(base: Decimal, exponent: u16) -> impl Iterator<Item = Decimal> {
    let bits = (0..u16::BITS).take_while(move |bit| exponent >> bit != 0);
    bits.scan(base, |power, bit| {
        let factor = *power;
        *power *= factor;
        Some((bit, factor))
    })
    .filter(move |(bit, _)| exponent >> bit & 1 == 1)
    .map(|(_, factor)| factor)
}

fn monthly_rate(rate: Rate) -> Decimal {
    rate.percent() / Decimal::from(MONTHS_TIMES_PERCENT)
}

/// One line of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instalment {
    /// 1 for the first month.
    pub number: u16,
    /// Interest of the month on the balance before it, rounded half up.
    pub interest: Money,
    /// What of the instalment lowers the balance.
    pub principal: Money,
    /// What is owed after it; zero after the last.
    pub balance: Money,
}

impl Instalment {
    /// What is paid: principal and interest together.
    ///
    /// # Errors
    /// When the sum leaves the range of [`Money`].
    pub fn amount(&self) -> Result<Money, OutOfRange> {
        self.principal.plus(self.interest)
    }
}

/// The whole schedule, one line a month, ending at exactly zero.
///
/// # Errors
/// As [`instalment`].
pub fn schedule(principal: Principal, rate: Rate, tenure: Tenure) -> Result<Vec<Instalment>, OutOfRange> {
    schedule_at(principal, rate, tenure, instalment(principal, rate, tenure)?)
}

/// The whole schedule of an instalment that is given, the annuity or not, ending at exactly zero.
///
/// Interest that the instalment does not cover is not charged: the balance stands still and never grows. A balance
/// that is paid off early leaves lines of nothing; one that is not is paid off, with its interest, in the last month.
///
/// # Errors
/// When a sum leaves the range of [`Money`].
pub fn schedule_at(
    principal: Principal,
    rate: Rate,
    tenure: Tenure,
    instalment: Money,
) -> Result<Vec<Instalment>, OutOfRange> {
    let mut balance = principal.money();
    let mut lines = Vec::with_capacity(usize::from(tenure.months()));
    for number in 1..=tenure.months() {
        let accrued = Money::round(balance.amount() * rate.percent() / Decimal::from(MONTHS_TIMES_PERCENT))?;
        let (interest, repaid) = if number < tenure.months() {
            let interest = accrued.min(instalment);
            (interest, instalment.minus(interest).unwrap_or(Money::ZERO).min(balance))
        } else {
            (accrued, balance)
        };
        balance = balance.minus(repaid).ok_or(OutOfRange)?;
        lines.push(Instalment { number, interest, principal: repaid, balance });
    }
    Ok(lines)
}
