//! Months as lenders count them: an instalment falls on the start date's day of each following month, clamped to
//! that month's end from the original day each time (31 Jan, 28 Feb, 31 Mar).

use chrono::{Datelike, Months, NaiveDate};

/// The date `months` after `start`, `None` beyond the calendar's end.
#[must_use]
pub fn months_after(start: NaiveDate, months: u16) -> Option<NaiveDate> {
    start.checked_add_months(Months::new(u32::from(months)))
}

/// How many whole months have passed from `start` to `on`, at most `at_most`: the instalments that are due.
#[must_use]
pub fn months_passed(start: NaiveDate, on: NaiveDate, at_most: u16) -> u16 {
    let calendar_months =
        (i64::from(on.year()) - i64::from(start.year())) * 12 + i64::from(on.month()) - i64::from(start.month());
    let Ok(months) = u16::try_from(calendar_months.clamp(0, i64::from(at_most))) else {
        return at_most;
    };
    match months_after(start, months) {
        Some(due) if due <= on => months,
        _ => months.saturating_sub(1),
    }
}
