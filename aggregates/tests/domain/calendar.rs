//! Months as lenders count them, clamped to a month's end from the original day each time.

use aggregates::calendar::{months_after, months_passed};
use chrono::{Datelike, NaiveDate};
use proptest::prelude::*;
use rstest::rstest;

use crate::strategies::day;
use crate::support::{cases, date};

/// The due date by hand: year and month counted, the day lowered until the month has it.
fn due_date(start: NaiveDate, months: u16) -> NaiveDate {
    let month = start.month0() + u32::from(months);
    let year = start.year() + i32::try_from(month / 12).unwrap();
    (1..=start.day()).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month % 12 + 1, day)).unwrap()
}

#[rstest]
#[case("2026-01-31", &["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"])]
#[case::leap_year("2028-01-31", &["2028-02-29", "2028-03-31"])]
#[case::no_leap_year_in_2100("2100-01-29", &["2100-02-28", "2100-03-29"])]
#[case::leap_day("2028-02-29", &["2028-03-29", "2028-04-29"])]
#[case::short_month("2026-04-30", &["2026-05-30", "2026-06-30"])]
#[case::over_new_year("2026-11-30", &["2026-12-30", "2027-01-30", "2027-02-28", "2027-03-30"])]
fn due_dates_keep_the_original_day(#[case] start: &str, #[case] due: &[&str]) {
    for (number, expected) in (1..).zip(due) {
        assert_eq!(months_after(date(start), number), Some(date(expected)));
    }
}

#[test]
fn a_leap_day_comes_back_after_four_years() {
    assert_eq!(months_after(date("2028-02-29"), 12), Some(date("2029-02-28")));
    assert_eq!(months_after(date("2028-02-29"), 48), Some(date("2032-02-29")));
}

#[test]
fn there_is_no_due_date_beyond_the_calendar() {
    assert_eq!(months_after(NaiveDate::MAX, 0), Some(NaiveDate::MAX));
    assert_eq!(months_after(NaiveDate::MAX, 1), None);
}

#[rstest]
#[case::the_day_itself("2026-01-31", "2026-01-31", 12, 0)]
#[case::before_it_began("2026-01-31", "2025-12-31", 12, 0)]
#[case::years_before("2026-01-31", "1990-01-01", 12, 0)]
#[case::the_day_before("2026-01-31", "2026-02-27", 12, 0)]
#[case::clamped("2026-01-31", "2026-02-28", 12, 1)]
#[case::not_clamped_again("2026-01-31", "2026-03-30", 12, 1)]
#[case::original_day("2026-01-31", "2026-03-31", 12, 2)]
#[case::the_last("2026-01-31", "2027-01-31", 12, 12)]
#[case::at_most_the_tenure("2026-01-31", "2027-02-28", 12, 12)]
#[case::long_after("2026-01-31", "2126-01-31", 12, 12)]
#[case::one_day_short_of_the_last("2026-01-31", "2027-01-30", 12, 11)]
#[case::the_calendar_s_end("2026-01-31", "+262142-12-31", 480, 480)]
fn an_instalment_is_due_when_its_month_has_passed(
    #[case] start: &str,
    #[case] on: &str,
    #[case] tenure: u16,
    #[case] due: u16,
) {
    assert_eq!(months_passed(date(start), date(on), tenure), due);
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn due_dates_agree_with_counting_by_hand(start in day(), months in 0..=480_u16) {
        prop_assert_eq!(months_after(start, months), Some(due_date(start, months)));
    }

    #[test]
    fn months_passed_agrees_with_counting_due_dates(
        start in day(),
        near in (0..=480_u16, -1..=1_i64),
        far in day(),
        is_near in any::<bool>(),
        tenure in 1..=480_u16,
    ) {
        let on = if is_near { due_date(start, near.0) + chrono::TimeDelta::days(near.1) } else { far };
        let counted = (1..=tenure).filter(|number| due_date(start, *number) <= on).count();
        prop_assert_eq!(usize::from(months_passed(start, on, tenure)), counted);
    }
}
