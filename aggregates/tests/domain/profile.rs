//! From loans to a standing: which run on a day, what has fallen due, what of it was paid on time.

use aggregates::money::{Money, OutOfRange};
use aggregates::profile::{CreditProfile, CreditStanding, LoanRecord};
use rstest::rstest;

use crate::support::{date, income, loan_record, money, principal, tenure};

fn standing_with(loans: Vec<LoanRecord>, on: &str) -> CreditStanding {
    let mut profile = CreditProfile::new(income("50000"), money("1800000"));
    profile.loans = loans;
    profile.standing(date(on)).unwrap()
}

#[test]
fn without_loans_nothing_stands_but_income_and_limit() {
    let expected = CreditStanding { as_of: date("2020-02-29"), ..crate::support::standing() };
    assert_eq!(standing_with(Vec::new(), "2020-02-29"), expected);
}

#[rstest]
#[case::the_day_before_its_end("2026-03-13", true)]
#[case::on_its_end("2026-03-14", true)]
#[case::the_day_after_its_end("2026-03-15", false)]
fn a_loan_is_current_up_to_and_on_its_end_date(#[case] on: &str, #[case] current: bool) {
    let standing = standing_with(vec![loan_record(1)], on);
    assert_eq!(standing.current_loans, u32::from(current));
    assert_eq!(standing.current_principal, if current { money("100000") } else { Money::ZERO });
    assert_eq!(standing.current_instalments, if current { money("8884.88") } else { Money::ZERO });
    assert_eq!(standing.loans_taken, 1, "a loan that has ended is still part of the record");
}

#[rstest]
#[case::before_it_was_settled("2025-10-13", true)]
#[case::on_the_day_it_was_settled("2025-10-14", false)]
#[case::after_it_was_settled("2025-10-15", false)]
fn a_settled_loan_is_current_no_more(#[case] on: &str, #[case] current: bool) {
    let settled = LoanRecord { settled_on: Some(date("2025-10-14")), instalments_paid_on_time: 12, ..loan_record(1) };
    assert_eq!(settled.is_current(date(on)), current);
    let standing = standing_with(vec![settled, loan_record(2)], on);
    assert_eq!(standing.current_loans, 1 + u32::from(current));
    assert_eq!(standing.current_principal, money(if current { "200000" } else { "100000" }));
    assert_eq!(standing.current_instalments, money(if current { "17769.76" } else { "8884.88" }));
    assert_eq!(standing.loans_taken, 2, "a loan that was settled is still part of the record");
    assert_eq!(standing.instalments_paid_on_time, standing.instalments_due / 2);
}

#[test]
fn a_loan_settled_after_its_end_was_not_current_in_between() {
    let late = LoanRecord { settled_on: Some(date("2026-06-01")), ..loan_record(1) };
    assert!(late.is_current(date("2026-03-14")));
    assert!(!late.is_current(date("2026-03-15")));
}

#[test]
fn a_loan_that_begins_later_is_a_commitment_already_but_owes_nothing() {
    let standing = standing_with(vec![loan_record(1)], "2024-12-31");
    assert_eq!((standing.current_loans, standing.instalments_due, standing.loans_started_this_year), (1, 0, 0));
}

#[rstest]
#[case::on_the_start(0, "2025-03-14", 0)]
#[case::a_day_short(0, "2025-04-13", 0)]
#[case::on_the_first_due_date(0, "2025-04-14", 1)]
#[case::on_the_last(0, "2026-03-14", 12)]
#[case::never_more_than_the_tenure(0, "2036-03-14", 12)]
fn an_instalment_is_due_when_its_month_has_passed(#[case] paid: u16, #[case] on: &str, #[case] due: u32) {
    let loan = LoanRecord { instalments_paid_on_time: paid, ..loan_record(1) };
    assert_eq!(standing_with(vec![loan], on).instalments_due, due);
}

#[rstest]
#[case::nothing_due(9, "2025-03-14", 0)]
#[case::more_than_due(9, "2025-06-14", 3)]
#[case::as_many_as_due(9, "2025-12-14", 9)]
#[case::fewer_than_due(9, "2026-03-14", 9)]
#[case::more_than_the_tenure(13, "2027-03-14", 12)]
fn paid_on_time_counts_at_most_what_is_due(#[case] paid: u16, #[case] on: &str, #[case] counted: u32) {
    let loan = LoanRecord { instalments_paid_on_time: paid, ..loan_record(1) };
    assert_eq!(standing_with(vec![loan], on).instalments_paid_on_time, counted);
}

#[test]
fn one_loan_s_early_payments_do_not_make_up_for_another_s_late_ones() {
    let ahead = LoanRecord { instalments_paid_on_time: 12, ..loan_record(1) };
    let behind = LoanRecord { instalments_paid_on_time: 0, ..loan_record(2) };
    let standing = standing_with(vec![ahead, behind], "2025-05-14");
    assert_eq!((standing.instalments_due, standing.instalments_paid_on_time), (4, 2));
}

#[rstest]
#[case::the_year_of_the_start("2025-12-31", 1)]
#[case::the_year_after("2026-01-01", 0)]
#[case::the_first_day("2025-03-14", 1)]
fn activity_looks_at_the_calendar_year(#[case] on: &str, #[case] started: u32) {
    assert_eq!(standing_with(vec![loan_record(1)], on).loans_started_this_year, started);
}

#[test]
fn a_standing_sums_over_all_loans() {
    let ended = LoanRecord { ends_on: date("2025-09-14"), tenure: tenure(6), ..loan_record(1) };
    let first = LoanRecord { instalments_paid_on_time: 5, ..loan_record(2) };
    let second = LoanRecord {
        principal: principal("0.01"),
        instalment: money("0.01"),
        started_on: date("2026-01-31"),
        ends_on: date("2026-02-28"),
        tenure: tenure(1),
        instalments_paid_on_time: 1,
        ..loan_record(3)
    };
    let expected = CreditStanding {
        as_of: date("2026-02-28"),
        loans_taken: 3,
        loans_started_this_year: 1,
        instalments_due: 6 + 11 + 1,
        instalments_paid_on_time: 6,
        current_loans: 2,
        current_principal: money("100000.01"),
        current_instalments: money("8884.89"),
        ..crate::support::standing()
    };
    assert_eq!(standing_with(vec![ended, first, second], "2026-02-28"), expected);
}

#[test]
fn a_sum_beyond_the_range_is_said_not_wrapped() {
    let heavy = |id| LoanRecord { instalment: money("1000000000000000000"), ..loan_record(id) };
    let mut profile = CreditProfile::new(income("50000"), money("1800000"));
    profile.loans = vec![heavy(1), heavy(2)];
    assert_eq!(profile.standing(date("2026-03-14")), Err(OutOfRange));
    assert!(profile.standing(date("2026-03-15")).is_ok(), "loans that have ended are in no sum");
}
