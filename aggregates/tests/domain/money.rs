//! Rupees: half up once, never below zero, never beyond the range; and the limit that an income gives.

use aggregates::money::{Money, OutOfRange};
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;

use crate::exact::{half_up, paise};
use crate::strategies::{amount, from_paise, monthly_income};
use crate::support::{cases, decimal, income, money};

#[rstest]
#[case("0", "0.00")]
#[case("0.004999999999999999999999", "0.00")]
#[case("0.005", "0.01")]
#[case("0.015", "0.02")]
#[case("0.025", "0.03")]
#[case("1.045", "1.05")]
#[case("2.675", "2.68")]
#[case("99.995", "100.00")]
#[case("8791.588723", "8791.59")]
#[case("-0.004", "0.00")]
#[case("1000000000000000000", "1000000000000000000.00")]
#[case("1000000000000000000.0049", "1000000000000000000.00")]
fn the_end_of_a_calculation_is_rounded_half_up(#[case] exact: &str, #[case] rounded: &str) {
    assert_eq!(Money::round(decimal(exact)).unwrap().to_string(), rounded);
}

#[rstest]
#[case::below_zero("-0.005")]
#[case::far_below_zero("-1")]
#[case::just_beyond("1000000000000000000.005")]
#[case::the_largest_decimal("79228162514264337593543950335")]
fn a_result_that_is_no_amount_is_out_of_range(#[case] exact: &str) {
    assert_eq!(Money::round(decimal(exact)), Err(OutOfRange));
}

#[rstest]
#[case("0", "0.00")]
#[case("-0", "0.00")]
#[case("-0.00", "0.00")]
#[case("0.000000", "0.00")]
#[case("0.01", "0.01")]
#[case("7", "7.00")]
#[case("7.5", "7.50")]
#[case("7.5000000000", "7.50")]
#[case("1000000000000000000", "1000000000000000000.00")]
fn an_amount_has_two_decimals_however_it_was_written(#[case] given: &str, #[case] amount: &str) {
    let money = Money::try_from(decimal(given)).unwrap();
    assert_eq!(money.to_string(), amount);
    assert_eq!(money.amount().to_string(), amount);
    assert!(!money.amount().is_sign_negative());
    assert_eq!(serde_json::to_string(&money).unwrap(), format!("\"{amount}\""));
}

#[rstest]
#[case("-0.01", "must not be negative")]
#[case("-1000000000000000000000", "must not be negative")]
#[case("1000000000000000000.01", "is too large")]
#[case("79228162514264337593543950335", "is too large")]
#[case("0.001", "must have at most two decimals")]
#[case("1.999", "must have at most two decimals")]
#[case("0.0000000000000000000000000001", "must have at most two decimals")]
fn what_is_no_amount_is_refused(#[case] given: &str, #[case] why: &str) {
    assert_eq!(Money::try_from(decimal(given)).unwrap_err().to_string(), why);
    assert!(serde_json::from_str::<Money>(&format!("\"{given}\"")).is_err());
}

#[test]
fn sums_and_differences_are_checked() {
    let most = money("1000000000000000000");
    assert_eq!(money("0.10").plus(money("0.25")), Ok(money("0.35")));
    assert_eq!(most.plus(Money::ZERO), Ok(most));
    assert_eq!(most.plus(money("0.01")), Err(OutOfRange));
    assert_eq!(most.plus(most), Err(OutOfRange));
    assert_eq!(money("0.35").minus(money("0.10")), Some(money("0.25")));
    assert_eq!(money("0.35").minus(money("0.35")), Some(Money::ZERO));
    assert_eq!(money("0.35").minus(money("0.36")), None);
}

#[test]
fn nothing_is_the_only_amount_that_is_nothing() {
    assert!(Money::ZERO.is_zero() && money("0.00").is_zero() && Money::rupees(0).is_zero());
    assert!(!money("0.01").is_zero());
    assert_eq!(Money::rupees(u32::MAX), money("4294967295.00"));
    for nothing in [Money::ZERO, money("0"), Money::rupees(0)] {
        assert_eq!(nothing.to_string(), "0.00");
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "\"0.00\"", "two decimals in a document, as any amount");
    }
}

#[rstest]
#[case("12499", "400000.00")]
#[case("12500", "500000.00")]
#[case("37500", "1400000.00")]
#[case("50000", "1800000.00")]
#[case("1388", "0.00")]
#[case::half_a_lakh("1388.89", "100000.00")]
#[case::just_below_half_a_lakh("1388.88", "0.00")]
#[case::the_least("0.01", "0.00")]
#[case::the_most("1000000000", "36000000000.00")]
fn the_approved_limit_is_36_incomes_to_the_nearest_lakh(#[case] monthly_income: &str, #[case] limit: &str) {
    assert_eq!(income(monthly_income).approved_limit().unwrap().to_string(), limit);
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn rounding_agrees_with_whole_numbers(mantissa in 0..=i64::MAX, decimals in 0..=18_u32) {
        let rounded = Money::round(Decimal::new(mantissa, decimals));
        let expected = half_up(u128::try_from(mantissa).unwrap() * 100, 10_u128.pow(decimals));
        prop_assert_eq!(rounded.map(|money| paise(money.amount())), if expected > 10_u128.pow(20) { Err(OutOfRange) } else { Ok(expected) });
    }

    #[test]
    fn an_exact_half_rounds_up(whole in 0..=i64::MAX / 10) {
        let half = Decimal::new(whole * 10 + 5, 3);
        prop_assert_eq!(Money::round(half).unwrap().amount(), Decimal::new(whole + 1, 2));
    }

    #[test]
    fn rounding_an_amount_changes_nothing(money in amount(i64::MAX / 10)) {
        prop_assert_eq!(Money::round(money.amount()), Ok(money));
    }

    #[test]
    fn sums_and_differences_agree_with_whole_numbers(a in 0..=i64::MAX / 4, b in 0..=i64::MAX / 4) {
        prop_assert_eq!(from_paise(a).plus(from_paise(b)), Ok(from_paise(a + b)));
        prop_assert_eq!(from_paise(a).minus(from_paise(b)), (a >= b).then(|| from_paise(a - b)));
    }

    #[test]
    fn an_amount_survives_its_document(money in amount(i64::MAX / 10)) {
        let document = serde_json::to_string(&money).unwrap();
        let read: Money = serde_json::from_str(&document).unwrap();
        prop_assert_eq!(read, money);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), document);
    }

    #[test]
    fn every_limit_agrees_with_whole_numbers(income in monthly_income()) {
        let lakhs = half_up(36 * paise(income.money().amount()), 10_000_000);
        prop_assert_eq!(paise(income.approved_limit().unwrap().amount()), lakhs * 10_000_000);
    }
}
