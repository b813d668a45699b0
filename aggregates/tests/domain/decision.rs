//! The decision table, the caps of both shipped policies, and the reasons with their order and words.

use aggregates::money::Money;
use aggregates::policy::decision::{Application, Assessment, Outcome, Reason, ReasonCode};
use aggregates::profile::CreditStanding;
use rstest::rstest;

use crate::support::{
    application, codes, decimal, income, literal, money, rate, standard, standing, standing_that_scores_60,
    strict_application,
};
use ReasonCode::{
    CorrectedRateNotAccepted, CurrentLoansOverLimit, InstalmentsOverIncomeShare, LimitExceeded, RateCorrected,
    ScoreTooLow, WithinPolicy,
};

#[rstest]
#[case("100", Some("0"))]
#[case("50.01", Some("0"))]
#[case("50", Some("12"))]
#[case("49.99", Some("12"))]
#[case("30.01", Some("12"))]
#[case("30", Some("16"))]
#[case("10.01", Some("16"))]
#[case("10", None)]
#[case("9.99", None)]
#[case("0", None)]
fn the_lowest_rate_of_a_score(#[case] score: &str, #[case] lowest: Option<&str>) {
    assert_eq!(standard().minimum_rate(decimal(score)), lowest.map(rate));
    assert_eq!(literal().minimum_rate(decimal(score)), lowest.map(rate));
}

/// Five loans, four of them this year: 20 points, plus 40 for what is on time, plus 20 for what is free of a limit of
/// 20,000 rupees (a rupee is a thousandth of a point).
fn standing_of(due: u32, paid: u32, free: &str) -> CreditStanding {
    let limit = money("20000");
    CreditStanding {
        approved_limit: limit,
        loans_taken: 5,
        loans_started_this_year: 4,
        instalments_due: due,
        instalments_paid_on_time: paid,
        current_loans: 1,
        current_principal: limit.minus(money(free)).unwrap(),
        ..standing()
    }
}

/// As before with a single loan started long ago, of which nothing was paid on time: 4 + 20 points and what is free.
fn single_loan(this_year: u32, free: &str) -> CreditStanding {
    CreditStanding { loans_taken: 1, loans_started_this_year: this_year, ..standing_of(12, 0, free) }
}

#[rstest]
#[case::exactly_50(standing_of(4, 3, "0"), "50.00", "12")]
#[case::rounded_down_to_50(standing_of(4, 3, "4.99"), "50.00", "12")]
#[case::rounded_half_up_to_50_01(standing_of(4, 3, "5"), "50.01", "5")]
#[case::exactly_50_01(standing_of(4, 3, "10"), "50.01", "5")]
#[case::exactly_30(standing_of(4, 1, "0"), "30.00", "16")]
#[case::rounded_down_to_30(standing_of(4, 1, "4.99"), "30.00", "16")]
#[case::rounded_half_up_to_30_01(standing_of(4, 1, "5"), "30.01", "12")]
#[case::exactly_30_01(standing_of(4, 1, "10"), "30.01", "12")]
#[case::rounded_half_up_to_10_01(single_loan(4, "6005"), "10.01", "16")]
#[case::exactly_10_01(single_loan(4, "6010"), "10.01", "16")]
#[case::without_loans(standing(), "50.00", "12")]
fn a_score_on_the_edge_of_a_floor(#[case] standing: CreditStanding, #[case] score: &str, #[case] corrected: &str) {
    let assessment = literal().assess(standing, application("1", "5", 1)).unwrap();
    assert_eq!(assessment.score.value.to_string(), score);
    assert_eq!(assessment.corrected_rate, rate(corrected));
    assert_eq!(assessment.outcome, Outcome::Approved);
    assert_eq!(codes(&assessment), [if corrected == "5" { WithinPolicy } else { RateCorrected }]);
}

#[rstest]
#[case::exactly_10(single_loan(4, "6000"), "10.00")]
#[case::rounded_down_to_10(single_loan(4, "6004.99"), "10.00")]
fn a_score_of_10_is_declined_at_any_rate(#[case] standing: CreditStanding, #[case] score: &str) {
    let assessment = literal().assess(standing, application("1", "100", 1)).unwrap();
    assert_eq!(assessment.score.value.to_string(), score);
    assert_eq!((assessment.outcome, codes(&assessment)), (Outcome::Declined, vec![ScoreTooLow]));
    assert_eq!(assessment.minimum_rate, None);
    assert_eq!(assessment.corrected_rate, rate("100"), "without a floor the rate stays as asked for");
    assert_eq!(assessment.alternatives, []);
}

#[rstest]
#[case::lower_than_the_floor("10", "12", "8884.88", RateCorrected)]
#[case::at_the_floor("12", "12", "8884.88", WithinPolicy)]
#[case::above_the_floor("16", "16", "9073.09", WithinPolicy)]
fn the_instalment_is_computed_at_the_corrected_rate(
    #[case] asked: &str,
    #[case] corrected: &str,
    #[case] instalment: &str,
    #[case] code: ReasonCode,
) {
    let assessment = standard().assess(standing(), application("100000", asked, 12)).unwrap();
    assert_eq!((assessment.corrected_rate, assessment.instalment), (rate(corrected), money(instalment)));
    assert_eq!((assessment.minimum_rate, codes(&assessment)), (Some(rate("12")), vec![code]));
    assert_eq!(assessment.application.interest_rate, rate(asked));
}

#[rstest]
#[case::all_of_the_limit("1800000", &[WithinPolicy], &[WithinPolicy])]
#[case::a_paisa_over("1800000.01", &[LimitExceeded], &[WithinPolicy])]
fn standard_counts_the_loan_asked_for_towards_the_limit(
    #[case] amount: &str,
    #[case] standard_codes: &[ReasonCode],
    #[case] literal_codes: &[ReasonCode],
) {
    let asked = application(amount, "12", 480);
    let standing = CreditStanding { monthly_income: income("50000"), ..standing_that_scores_60() };
    assert_eq!(codes(&standard().assess(standing.clone(), asked.clone()).unwrap()), standard_codes);
    assert_eq!(codes(&literal().assess(standing, asked).unwrap()), literal_codes);
}

#[rstest]
#[case::exactly_half_the_income("17769.76", &[WithinPolicy], &[WithinPolicy])]
#[case::half_a_paisa_over("17769.75", &[InstalmentsOverIncomeShare], &[WithinPolicy])]
fn standard_counts_the_loan_asked_for_towards_the_income(
    #[case] monthly_income: &str,
    #[case] standard_codes: &[ReasonCode],
    #[case] literal_codes: &[ReasonCode],
) {
    let asked = application("100000", "12", 12);
    let standing = CreditStanding { monthly_income: income(monthly_income), ..standing_that_scores_60() };
    assert_eq!(codes(&standard().assess(standing.clone(), asked.clone()).unwrap()), standard_codes);
    assert_eq!(codes(&literal().assess(standing, asked).unwrap()), literal_codes);
}

#[rstest]
#[case::exactly_half_the_income("25000", &[WithinPolicy])]
#[case::a_paisa_over("25000.01", &[InstalmentsOverIncomeShare])]
fn current_instalments_over_half_the_income_decline_under_both(#[case] current: &str, #[case] expected: &[ReasonCode]) {
    let standing = CreditStanding {
        current_loans: 1,
        current_principal: money("1000"),
        current_instalments: money(current),
        ..standing_that_scores_60()
    };
    assert_eq!(codes(&literal().assess(standing.clone(), application("1", "12", 12)).unwrap()), expected);
    let counted = standard().assess(standing, application("1", "12", 12)).unwrap();
    assert_eq!(codes(&counted), [InstalmentsOverIncomeShare], "the one asked for comes on top");
}

fn over_the_limit() -> CreditStanding {
    CreditStanding {
        current_loans: 1,
        current_principal: money("1800000.01"),
        current_instalments: money("25000.01"),
        ..standing_that_scores_60()
    }
}

#[rstest]
#[case::nothing_against_it(standing(), application("1000", "12", 12), &[WithinPolicy], &[WithinPolicy])]
#[case::all_that_is_about_the_customer(
    over_the_limit(), application("1000", "12", 12),
    &[CurrentLoansOverLimit, ScoreTooLow, LimitExceeded, InstalmentsOverIncomeShare],
    &[CurrentLoansOverLimit, ScoreTooLow, InstalmentsOverIncomeShare]
)]
#[case::all_that_is_about_the_loan(
    standing(), strict_application("1800000.01", "11.9999", 12),
    &[LimitExceeded, InstalmentsOverIncomeShare, CorrectedRateNotAccepted],
    &[CorrectedRateNotAccepted]
)]
#[case::a_higher_rate_than_the_floor_needs_no_acceptance(
    standing(), strict_application("1000", "12.0001", 12), &[WithinPolicy], &[WithinPolicy]
)]
#[case::the_rate_alone(
    standing(), strict_application("1000", "11.9999", 12), &[CorrectedRateNotAccepted], &[CorrectedRateNotAccepted]
)]
#[case::the_rate_corrected(standing(), application("1000", "0", 12), &[RateCorrected], &[RateCorrected])]
fn all_reasons_that_apply_the_gravest_first(
    #[case] standing: CreditStanding,
    #[case] asked: Application,
    #[case] standard_codes: &[ReasonCode],
    #[case] literal_codes: &[ReasonCode],
) {
    assert_eq!(codes(&standard().assess(standing.clone(), asked.clone()).unwrap()), standard_codes);
    assert_eq!(codes(&literal().assess(standing, asked).unwrap()), literal_codes);
}

#[test]
fn gravity_is_the_order_of_the_codes() {
    let gravest_first = [
        CurrentLoansOverLimit,
        ScoreTooLow,
        LimitExceeded,
        InstalmentsOverIncomeShare,
        CorrectedRateNotAccepted,
        RateCorrected,
        WithinPolicy,
    ];
    assert!(gravest_first.is_sorted());
}

fn sentences(assessment: &Assessment) -> Vec<&str> {
    assessment.reasons.iter().map(|reason| reason.message.as_str()).collect()
}

#[test]
fn reasons_are_plain_sentences_with_the_numbers_they_speak_of() {
    let declined = standard().assess(over_the_limit(), application("1000", "12", 12)).unwrap();
    insta::assert_json_snapshot!(sentences(&declined), @r#"
    [
      "Current loans of 1800000.01 exceed the approved limit of 1800000.00.",
      "The credit score of 0.00 is too low for a loan at any rate.",
      "Current loans and this one, 1801000.01 in all, exceed the approved limit of 1800000.00.",
      "Current instalments and this one, 25088.86 a month, exceed 50% of the monthly income, 25000.00."
    ]
    "#);
    assert_eq!(declined.headline(), sentences(&declined)[0]);
    let strict = standard().assess(standing(), strict_application("1000", "10.5", 12)).unwrap();
    insta::assert_json_snapshot!(sentences(&strict), @r#"
    [
      "The credit score of 50.00 asks for at least 12% a year, which was not accepted."
    ]
    "#);
    let corrected = standard().assess(standing(), application("1000", "10.5", 12)).unwrap();
    insta::assert_json_snapshot!(sentences(&corrected), @r#"
    [
      "Approved at 12% a year: the lowest rate for a credit score of 50.00."
    ]
    "#);
    let approved = standard().assess(standing_that_scores_60(), application("1000", "10.5", 12)).unwrap();
    insta::assert_json_snapshot!(sentences(&approved), @r#"
    [
      "Approved at 10.5% a year, with a credit score of 60.00."
    ]
    "#);
    let literally = literal().assess(over_the_limit(), application("1000", "12", 12)).unwrap();
    insta::assert_json_snapshot!(sentences(&literally), @r#"
    [
      "Current loans of 1800000.01 exceed the approved limit of 1800000.00.",
      "The credit score of 0.00 is too low for a loan at any rate.",
      "Current instalments, 25000.01 a month, exceed 50% of the monthly income, 25000.00."
    ]
    "#);
}

#[test]
fn a_share_of_the_income_is_never_shown_as_the_amount_that_exceeds_it() {
    let standing = CreditStanding { monthly_income: income("17769.75"), ..standing_that_scores_60() };
    let declined = standard().assess(standing, application("100000", "12", 12)).unwrap();
    let sentence = declined.headline();
    assert_eq!(sentence.matches("8884.88").count(), 1, "{sentence}");
}

#[test]
fn an_assessment_records_everything_it_was_taken_from() {
    let (standing, asked) = (standing_that_scores_60(), application("100000", "12", 12));
    let assessment = standard().assess(standing.clone(), asked.clone()).unwrap();
    let expected = Assessment {
        policy: standard().reference().clone(),
        application: asked,
        score: standard().score(&standing),
        standing,
        minimum_rate: Some(rate("0")),
        corrected_rate: rate("12"),
        instalment: money("8884.88"),
        outcome: Outcome::Approved,
        reasons: vec![Reason {
            code: WithinPolicy,
            message: "Approved at 12% a year, with a credit score of 60.00.".to_owned(),
        }],
        alternatives: Vec::new(),
    };
    assert!(assessment.is_approved());
    assert_eq!(assessment, expected);
    assert_eq!(assessment.standing.current_principal, Money::ZERO);
}

#[test]
fn an_assessment_without_reasons_has_no_headline() {
    let approved = standard().assess(standing(), application("1000", "12", 12)).unwrap();
    assert_eq!(Assessment { reasons: Vec::new(), ..approved }.headline(), "");
}

/// Programs hold on to them, and so do the recorded decisions.
#[test]
fn codes_are_written_as_they_ever_were() {
    let codes = [
        (ReasonCode::CurrentLoansOverLimit, "current_loans_over_limit"),
        (ReasonCode::ScoreTooLow, "score_too_low"),
        (ReasonCode::LimitExceeded, "limit_exceeded"),
        (ReasonCode::InstalmentsOverIncomeShare, "instalments_over_income_share"),
        (ReasonCode::CorrectedRateNotAccepted, "corrected_rate_not_accepted"),
        (ReasonCode::RateCorrected, "rate_corrected"),
        (ReasonCode::WithinPolicy, "within_policy"),
    ];
    assert!(codes.is_sorted_by_key(|(code, _)| *code), "the gravest first");
    for (code, written) in codes {
        assert_eq!(serde_json::to_value(code).unwrap(), written);
        assert_eq!(code.to_string(), written);
    }
}
