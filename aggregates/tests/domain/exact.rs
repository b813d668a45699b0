//! The rules once more, in whole numbers: an oracle that shares neither code nor number type with the domain.
//!
//! Money is counted in paise (hundredths of a rupee), a rate in ten-thousandths of a percent.

use aggregates::profile::CreditStanding;
use rust_decimal::Decimal;

/// Ten-thousandths of a percent a year that make a monthly rate of one: 12 months x 100 percent x 10,000.
pub(crate) const MONTHLY_UNIT: u64 = 12_000_000;

/// The paise of an amount.
pub(crate) fn paise(amount: Decimal) -> u128 {
    scaled(amount, 2)
}

/// The ten-thousandths of a percent of a rate.
pub(crate) fn rate_units(percent: Decimal) -> u64 {
    u64::try_from(scaled(percent, 4)).expect("a rate")
}

/// `value x 10^decimals`, for a value that has no more decimals than that.
pub(crate) fn scaled(value: Decimal, decimals: u32) -> u128 {
    let mantissa = u128::try_from(value.mantissa()).expect("not negative");
    if value.scale() <= decimals {
        return mantissa * 10_u128.pow(decimals - value.scale());
    }
    let beyond = 10_u128.pow(value.scale() - decimals);
    assert_eq!(mantissa % beyond, 0, "{value} has more than {decimals} decimals");
    mantissa / beyond
}

/// `numerator / denominator`, rounded half up to a whole number.
pub(crate) fn half_up(numerator: u128, denominator: u128) -> u128 {
    (2 * numerator + denominator) / (2 * denominator)
}

/// A month's interest on a balance, in paise.
pub(crate) fn interest(balance: u128, rate: u64) -> u128 {
    half_up(balance * u128::from(rate), u128::from(MONTHLY_UNIT))
}

/// Whether `instalment` is `P*i*(1+i)^n / ((1+i)^n - 1)` rounded half up, all in paise: cross-multiplied, so exact.
pub(crate) fn is_instalment(instalment: u128, principal: u128, rate: u64, months: u16) -> bool {
    if rate == 0 {
        return instalment == half_up(principal, u128::from(months));
    }
    let principal = u64::try_from(principal).expect("a principal");
    let power = |base: u64| (0..months).fold(Natural::from(1), |power, _| power.times(base));
    let (grown, unit) = (power(MONTHLY_UNIT + rate), power(MONTHLY_UNIT));
    let twice_numerator = grown.times(principal).times(rate).times(2);
    let denominator = grown.minus(&unit).times(MONTHLY_UNIT);
    let twice = u64::try_from(2 * instalment).expect("an instalment");
    let reaches = twice == 0 || twice_numerator >= denominator.times(twice - 1);
    reaches && twice_numerator < denominator.times(twice + 1)
}

/// The hundredths of a score under the shipped weights (40, 20, 20, 20), as one fraction that is rounded once.
pub(crate) fn score_hundredths(standing: &CreditStanding) -> u128 {
    let limit = paise(standing.approved_limit.amount());
    let current = paise(standing.current_principal.amount());
    if current > limit {
        return 0;
    }
    if standing.loans_taken == 0 {
        return 5_000;
    }
    let (paid, due) = match standing.instalments_due {
        0 => (1, 2),
        due => (u128::from(standing.instalments_paid_on_time), u128::from(due)),
    };
    let (free, whole) = if limit == 0 { (0, 1) } else { (limit - current, limit) };
    let track_record = 4 * u128::from(standing.loans_taken.min(5));
    let activity = 5 * u128::from(4_u32.saturating_sub(standing.loans_started_this_year));
    let points = 40 * paid * whole + (track_record + activity) * due * whole + 20 * free * due;
    half_up(100 * points, due * whole)
}

/// A natural number of any size: limbs of 64 bits, the lowest first, the highest not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        Self(vec![value]).trimmed()
    }
}

impl Natural {
    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn times(&self, factor: u64) -> Self {
        let mut carry = 0_u128;
        let mut limbs = Vec::with_capacity(self.0.len() + 1);
        for limb in &self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            limbs.push(low(carry));
            carry >>= u64::BITS;
        }
        limbs.push(low(carry));
        Self(limbs).trimmed()
    }

    fn minus(&self, smaller: &Self) -> Self {
        assert!(*self >= *smaller, "a natural number is never negative");
        let mut borrow = false;
        let limbs = self.0.iter().enumerate().map(|(place, limb)| {
            let (once, first) = limb.overflowing_sub(smaller.0.get(place).copied().unwrap_or(0));
            let (twice, second) = once.overflowing_sub(u64::from(borrow));
            borrow = first || second;
            twice
        });
        Self(limbs.collect()).trimmed()
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

fn low(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).expect("64 bits")
}

/// The oracle itself, against numbers worked out by hand.
#[test]
fn the_oracle_knows_the_worked_examples_and_nothing_beside_them() {
    for (instalment, principal, rate, months) in
        [(879_159, 10_000_000, 100_000, 12), (1_105_399, 100_000_000, 105_000, 180), (1_428_571, 10_000_000, 0, 7)]
    {
        assert!(is_instalment(instalment, principal, rate, months));
        assert!(!is_instalment(instalment - 1, principal, rate, months));
        assert!(!is_instalment(instalment + 1, principal, rate, months));
    }
    let large = Natural::from(u64::MAX).times(u64::MAX);
    assert_eq!(large.times(3).minus(&large.times(2)), large);
    assert!(large > Natural::from(u64::MAX));
    assert_eq!(large.minus(&large), Natural::from(0));
    assert_eq!((half_up(5, 10), half_up(4, 10), half_up(15, 10)), (1, 0, 2));
}
