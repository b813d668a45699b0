//! The score: each component by table, the fixed scores, and every value against one exact fraction.

use aggregates::money::Money;
use aggregates::policy::score::{Component, ComponentName, ScoreRule};
use aggregates::profile::CreditStanding;
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;

use crate::exact::{scaled, score_hundredths};
use crate::strategies;
use crate::support::{cases, literal, money, standard, standing};

/// Loans taken, started this year, instalments due and paid on time, current principal of a limit of 1,800,000.
fn standing_of(taken: u32, this_year: u32, due: u32, paid: u32, current: &str) -> CreditStanding {
    let current_principal = money(current);
    CreditStanding {
        loans_taken: taken,
        loans_started_this_year: this_year,
        instalments_due: due,
        instalments_paid_on_time: paid,
        current_loans: u32::from(current_principal != Money::ZERO),
        current_principal,
        ..standing()
    }
}

fn points(standing: &CreditStanding) -> [String; 4] {
    let score = standard().score(standing);
    let of = |wanted: ComponentName| {
        let found: Vec<&Component> = score.components.iter().filter(|component| component.name == wanted).collect();
        assert_eq!(found.len(), 1, "each component once");
        found.first().unwrap().points.to_string()
    };
    [
        of(ComponentName::OnTime),
        of(ComponentName::TrackRecord),
        of(ComponentName::CurrentYearActivity),
        of(ComponentName::ApprovedVolume),
    ]
}

#[rstest]
#[case::everything(standing_of(5, 0, 24, 24, "0"), ["40.00", "20.00", "20.00", "20.00"], "100.00")]
#[case::nothing(standing_of(1, 4, 24, 0, "1800000"), ["0.00", "4.00", "0.00", "0.00"], "4.00")]
#[case::nothing_due_yet(standing_of(1, 1, 0, 0, "900000"), ["20.00", "4.00", "15.00", "10.00"], "49.00")]
#[case::two_thirds_on_time(standing_of(2, 2, 3, 2, "0"), ["26.67", "8.00", "10.00", "20.00"], "64.67")]
#[case::three_loans_this_year(standing_of(3, 3, 12, 6, "0"), ["20.00", "12.00", "5.00", "20.00"], "57.00")]
#[case::four_loans_this_year(standing_of(4, 4, 12, 6, "0"), ["20.00", "16.00", "0.00", "20.00"], "56.00")]
#[case::five_loans_this_year(standing_of(5, 5, 12, 6, "0"), ["20.00", "20.00", "0.00", "20.00"], "60.00")]
#[case::six_loans(standing_of(6, 0, 12, 6, "0"), ["20.00", "20.00", "20.00", "20.00"], "80.00")]
#[case::a_third_of_the_limit(standing_of(5, 0, 12, 12, "600000"), ["40.00", "20.00", "20.00", "13.33"], "93.33")]
#[case::rounded_once(standing_of(5, 4, 3, 1, "600000"), ["13.33", "20.00", "0.00", "13.33"], "46.67")]
#[case::all_of_the_limit(standing_of(5, 0, 12, 12, "1800000"), ["40.00", "20.00", "20.00", "0.00"], "80.00")]
fn components(#[case] standing: CreditStanding, #[case] expected: [&str; 4], #[case] value: &str) {
    assert_eq!(points(&standing), expected.map(str::to_owned));
    let score = standard().score(&standing);
    assert_eq!((score.value.to_string(), score.rule), (value.to_owned(), ScoreRule::Components));
}

#[test]
fn the_components_say_what_they_weigh_in_a_stable_order() {
    let score = standard().score(&standing());
    let weights: Vec<(ComponentName, u8)> = score.components.iter().map(|part| (part.name, part.weight)).collect();
    let expected = [
        (ComponentName::OnTime, 40),
        (ComponentName::TrackRecord, 20),
        (ComponentName::CurrentYearActivity, 20),
        (ComponentName::ApprovedVolume, 20),
    ];
    assert_eq!(weights, expected);
}

#[rstest]
#[case::with_a_limit(standing())]
#[case::without_one(CreditStanding { approved_limit: Money::ZERO, ..standing() })]
fn a_customer_without_loans_scores_50(#[case] standing: CreditStanding) {
    let score = standard().score(&standing);
    assert_eq!((score.value.to_string(), score.rule), ("50.00".to_owned(), ScoreRule::NoLoans));
}

#[rstest]
#[case::a_paisa_over("1800000.01", "0.00", ScoreRule::OverLimit)]
#[case::exactly_the_limit("1800000", "80.00", ScoreRule::Components)]
fn over_the_limit_the_score_is_zero(#[case] current: &str, #[case] value: &str, #[case] rule: ScoreRule) {
    let score = standard().score(&standing_of(5, 0, 12, 12, current));
    assert_eq!((score.value.to_string(), score.rule), (value.to_owned(), rule));
    assert_eq!(score.components.len(), 4, "the components are given nevertheless");
}

#[test]
fn loans_over_a_limit_of_nothing_score_zero() {
    let without_limit = CreditStanding { approved_limit: Money::ZERO, ..standing_of(5, 0, 12, 12, "0") };
    assert_eq!(standard().score(&without_limit).value.to_string(), "80.00");
    let over = CreditStanding { current_principal: money("0.01"), ..without_limit };
    assert_eq!(standard().score(&over).value.to_string(), "0.00");
}

/// Sums of endless fractions that are exactly half a hundredth, or the least above or below one.
#[rstest]
#[case::a_half("1199900", "1200000", 300, 1, "20.14")]
#[case::a_paisa_less_than_a_half("1199900.01", "1200000", 300, 1, "20.13")]
#[case::a_paisa_more_than_a_half("1199899.99", "1200000", 300, 1, "20.14")]
#[case::a_half_from_volume_alone("3999", "4000", 1, 0, "20.01")]
#[case::a_half_from_on_time_alone("100000", "100000", 1600, 1, "20.03")]
fn a_score_is_rounded_half_up_once(
    #[case] current: &str,
    #[case] limit: &str,
    #[case] due: u32,
    #[case] paid: u32,
    #[case] value: &str,
) {
    let standing = CreditStanding { approved_limit: money(limit), ..standing_of(5, 4, due, paid, current) };
    assert_eq!(standard().score(&standing).value.to_string(), value);
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn a_score_is_0_to_100_with_two_decimals_and_agrees_with_the_exact_fraction(standing in strategies::standing()) {
        let score = standard().score(&standing);
        prop_assert!(score.value >= Decimal::ZERO && score.value <= Decimal::ONE_HUNDRED);
        prop_assert_eq!(score.value.scale(), 2);
        prop_assert_eq!(scaled(score.value, 2), score_hundredths(&standing));
        for component in &score.components {
            prop_assert!(component.points >= Decimal::ZERO && component.points <= Decimal::from(component.weight));
            prop_assert_eq!(component.points.scale(), 2);
        }
        prop_assert_eq!(&score, &literal().score(&standing), "the shipped policies differ in their caps only");
    }

    #[test]
    fn halves_of_two_endless_fractions_round_up(half_due in 1..480_u32, paid_permille in 0..=1_000_u32) {
        // With a limit of 20 rupees for each instalment due, the two fractions together give
        // (4000 * paid + free paise) / due hundredths: the free paise are chosen to make that an odd number of halves.
        let due = 2 * half_due;
        let paid = due * paid_permille / 1_000;
        let free = (half_due + due * 4_000 - paid * 4_000) % due;
        let limit = Money::rupees(20 * due);
        let standing = CreditStanding {
            approved_limit: limit,
            loans_taken: 1,
            loans_started_this_year: 4,
            instalments_due: due,
            instalments_paid_on_time: paid,
            current_loans: 1,
            current_principal: limit.minus(strategies::from_paise(i64::from(free))).unwrap(),
            ..standing()
        };
        let halves = 2 * (4_000 * paid + free) / due;
        prop_assert_eq!(halves % 2, 1);
        prop_assert_eq!(scaled(standard().score(&standing).value, 2), u128::from(400 + halves.div_ceil(2)));
    }

    #[test]
    fn over_the_limit_every_score_is_zero(standing in strategies::standing(), over in 1..1_000_u32) {
        let current_principal = standing.approved_limit.plus(Money::rupees(over)).unwrap();
        let score = standard().score(&CreditStanding { current_principal, ..standing });
        prop_assert_eq!((score.value, score.rule), (Decimal::ZERO, ScoreRule::OverLimit));
    }

    #[test]
    fn paying_more_on_time_never_lowers_the_score(standing in strategies::standing(), more in 0..=480_u32) {
        let instalments_paid_on_time = (standing.instalments_paid_on_time + more).min(standing.instalments_due);
        let better = CreditStanding { instalments_paid_on_time, ..standing.clone() };
        prop_assert!(standard().score(&better).value >= standard().score(&standing).value);
    }

    #[test]
    fn borrowing_more_never_raises_the_score(standing in strategies::standing(), more in 0..=10_000_000_u32) {
        prop_assume!(standing.loans_taken > 0);
        let current_principal = standing.current_principal.plus(Money::rupees(more)).unwrap();
        let deeper = CreditStanding { current_principal, ..standing.clone() };
        prop_assert!(standard().score(&deeper).value <= standard().score(&standing).value);
    }
}
