//! Instalments and schedules: the worked examples, and every schedule against exact whole numbers.

use aggregates::instalments::{Instalment, instalment, schedule};
use aggregates::money::Money;
use aggregates::terms::{Principal, Rate, Tenure};
use proptest::prelude::*;
use proptest::sample::select;
use rstest::rstest;
use rust_decimal::Decimal;

use crate::exact::{interest, is_instalment, paise, rate_units};
use crate::strategies;
use crate::support::{cases, money, principal, rate, tenure};

#[rstest]
#[case("100000", "10", 12, "8791.59", "8791.56", "5499.05")]
#[case("100000", "12", 12, "8884.88", "8884.85", "6618.53")]
#[case("500000", "16", 36, "17578.52", "17578.37", "132826.57")]
#[case("1000000", "10.5", 180, "11053.99", "11053.50", "989717.71")]
#[case("100000", "0", 7, "14285.71", "14285.74", "0.00")]
#[case("250000", "8.25", 1, "251718.75", "251718.75", "1718.75")]
#[case("99999.99", "13.37", 17, "6489.62", "6489.69", "10323.62")]
fn worked_examples(
    #[case] amount: &str,
    #[case] percent: &str,
    #[case] months: u16,
    #[case] regular: &str,
    #[case] last: &str,
    #[case] total_interest: &str,
) {
    let (amount, percent, months) = (principal(amount), rate(percent), tenure(months));
    assert_eq!(instalment(amount, percent, months), Ok(money(regular)));
    let lines = schedule(amount, percent, months).unwrap();
    assert_eq!(lines.len(), usize::from(months.months()));
    assert_eq!(lines.last().unwrap().amount(), Ok(money(last)));
    let interest = lines.iter().try_fold(Money::ZERO, |sum, line| sum.plus(line.interest));
    assert_eq!(interest, Ok(money(total_interest)));
}

#[test]
fn a_schedule_line_by_line() {
    let line = |number, interest, principal, balance| Instalment {
        number,
        interest: money(interest),
        principal: money(principal),
        balance: money(balance),
    };
    let expected = vec![
        line(1, "10.00", "330.02", "669.98"),
        line(2, "6.70", "333.32", "336.66"),
        line(3, "3.37", "336.66", "0.00"),
    ];
    assert_eq!(schedule(principal("1000"), rate("12"), tenure(3)), Ok(expected));
}

/// Annuities that are exactly half a paisa: the exact value is the comment, and half goes up.
#[rstest]
#[case::eighty_four_and_a_half_paise("1.50", "100", 2, "0.85")]
#[case::at_51_005("100.50", "12", 2, "51.01")]
#[case::at_5151_505("15150.50", "12", 3, "5151.51")]
#[case::at_520302_005("2030200.50", "12", 4, "520302.01")]
#[case::at_100_005("100", "0.06", 1, "100.01")]
#[case::at_605_605("600.60", "10", 1, "605.61")]
#[case::at_rate_zero("0.05", "0", 2, "0.03")]
fn half_a_paisa_of_an_instalment_rounds_up(
    #[case] amount: &str,
    #[case] percent: &str,
    #[case] months: u16,
    #[case] rounded: &str,
) {
    assert_eq!(instalment(principal(amount), rate(percent), tenure(months)), Ok(money(rounded)));
}

/// A month's interest of exactly half a paisa, at rates whose twelfth part has no end.
#[rstest]
#[case::half_a_paisa("0.60", "10", "0.01")]
#[case::at_5_005("600.60", "10", "5.01")]
#[case::at_8333_335("1000000.20", "10", "8333.34")]
#[case::at_0_035("6.00", "7", "0.04")]
#[case::at_0_055("6.00", "11", "0.06")]
fn half_a_paisa_of_interest_rounds_up(#[case] balance: &str, #[case] percent: &str, #[case] interest: &str) {
    let lines = schedule(principal(balance), rate(percent), tenure(2)).unwrap();
    assert_eq!(lines.first().unwrap().interest, money(interest));
}

#[rstest]
#[case::a_paisa_that_only_the_last_month_repays("0.01", "0", 480)]
#[case::less_than_half_a_paisa_a_month("1.00", "0", 480)]
#[case::repaid_before_the_last_month("2.41", "0", 480)]
#[case::interest_takes_the_whole_instalment("0.07", "100", 480)]
#[case::the_largest_loan("10000000000", "100", 480)]
#[case::the_largest_at_the_lowest_rate("10000000000", "0.0001", 480)]
#[case::the_largest_for_a_month("10000000000", "100", 1)]
fn the_edges_of_the_input_bounds_end_at_zero(#[case] amount: &str, #[case] percent: &str, #[case] months: u16) {
    check_schedule(principal(amount), rate(percent), tenure(months)).unwrap();
}

/// The whole percents at which some balance bears half a paisa of interest.
fn percents_with_halves() -> Vec<u64> {
    (1..=100).filter(|percent| percent / greatest_common_divisor(*percent, 600) % 2 == 1).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Everything that a schedule promises.
fn check_schedule(principal: Principal, rate: Rate, tenure: Tenure) -> Result<(), TestCaseError> {
    let regular = instalment(principal, rate, tenure).unwrap();
    let lines = schedule(principal, rate, tenure).unwrap();
    prop_assert_eq!(lines.len(), usize::from(tenure.months()));
    let mut owed = paise(principal.money().amount());
    let last_number = tenure.months();
    for (number, line) in (1..).zip(&lines) {
        prop_assert_eq!(line.number, number);
        prop_assert_eq!(paise(line.interest.amount()), interest(owed, rate_units(rate.percent())), "line {}", number);
        let repaid = paise(line.principal.amount());
        prop_assert!(repaid <= owed);
        let was_owed = owed;
        owed -= repaid;
        prop_assert_eq!(paise(line.balance.amount()), owed);
        let amount = line.amount().unwrap();
        if was_owed == 0 {
            prop_assert_eq!(amount, Money::ZERO);
        } else if owed > 0 {
            prop_assert_eq!(amount, regular);
        } else {
            prop_assert!(number == last_number || amount <= regular);
        }
    }
    prop_assert_eq!(owed, 0);
    let repaid = lines.iter().try_fold(Money::ZERO, |sum, line| sum.plus(line.principal));
    prop_assert_eq!(repaid, Ok(principal.money()));
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_schedule_repays_the_principal_and_ends_at_zero(
        principal in strategies::principal(),
        rate in strategies::rate(),
        tenure in strategies::months(),
    ) {
        check_schedule(principal, rate, tenure)?;
    }

    #[test]
    fn an_instalment_is_the_annuity_rounded_half_up(
        principal in strategies::principal(),
        rate in strategies::rate(),
        tenure in strategies::months(),
    ) {
        let rounded = paise(instalment(principal, rate, tenure).unwrap().amount());
        let owed = paise(principal.money().amount());
        prop_assert!(is_instalment(rounded, owed, rate_units(rate.percent()), tenure.months()), "{}", rounded);
    }

    #[test]
    fn a_single_instalment_is_the_principal_and_its_interest(
        principal in strategies::principal(),
        rate in strategies::rate(),
    ) {
        let only = instalment(principal, rate, tenure(1)).unwrap();
        let owed = paise(principal.money().amount());
        prop_assert_eq!(paise(only.amount()), owed + interest(owed, rate_units(rate.percent())));
        prop_assert_eq!(schedule(principal, rate, tenure(1)).unwrap().last().unwrap().amount(), Ok(only));
    }

    #[test]
    fn interest_of_half_a_paisa_rounds_up_at_every_rate(
        percent in select(percents_with_halves()),
        odd in (0..1_000_000_u64).prop_map(|half| 2 * half + 1),
    ) {
        // A balance of `600 / common * odd` paise bears `percent / common * odd / 2` paise of interest: half an odd number.
        let common = greatest_common_divisor(percent, 600);
        let balance = Decimal::from(600 / common * odd) / Decimal::ONE_HUNDRED;
        let lines = schedule(principal(&balance.to_string()), rate(&percent.to_string()), tenure(2)).unwrap();
        let rounded_up = (percent / common * odd).div_ceil(2);
        prop_assert_eq!(paise(lines.first().unwrap().interest.amount()), u128::from(rounded_up));
    }

    #[test]
    fn more_is_never_cheaper_and_longer_is_never_dearer_a_month(
        principal in strategies::principal(),
        rate in strategies::rate(),
        months in 1..480_u16,
        rupees in 1..1_000_u32,
    ) {
        let asked = instalment(principal, rate, tenure(months)).unwrap();
        prop_assert!(instalment(principal, rate, tenure(months + 1)).unwrap() <= asked);
        if let Ok(more) = Principal::try_from(principal.money().plus(Money::rupees(rupees)).unwrap()) {
            prop_assert!(instalment(more, rate, tenure(months)).unwrap() >= asked);
        }
    }
}
