//! Dates: cells that hold one, serial numbers, and texts in the ways people write them, the day first where that is
//! not otherwise clear, as in India.

use aggregates::Invalid;
use calamine::{DataRef, ExcelDateTime, ExcelDateTimeType};
use chrono::{Datelike, NaiveDate};

use super::{as_text, exact, invalid};

/// A date outside of these years is a mistake.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// A month's name may be cut to this length.
const SHORT_MONTH_CHARS: usize = 3;

/// The date that a cell says, without its time of day; `from_1904` for workbooks that count days from 1904.
pub(in crate::import) fn date(cell: &DataRef<'_>, from_1904: bool) -> Result<NaiveDate, Invalid> {
    let date = match cell {
        DataRef::DateTime(value) if value.is_duration() => return Err(not_a_date()),
        DataRef::DateTime(value) => of_cell(*value)?,
        DataRef::Float(number) => of_serial(*number, from_1904)?,
        DataRef::String(_) | DataRef::SharedString(_) | DataRef::DateTimeIso(_) => {
            let text = as_text(cell).unwrap_or_default().trim();
            match text.parse() {
                Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                    of_serial(number, from_1904)?
                }
                _ => of_text(text)?,
            }
        }
        DataRef::Int(_) | DataRef::Bool(_) | DataRef::DurationIso(_) | DataRef::Error(_) | DataRef::Empty => {
            return Err(not_a_date());
        }
    };
    if YEARS.contains(&date.year()) {
        Ok(date)
    } else {
        Err(invalid(format!("must be a date from {} to {}", YEARS.start(), YEARS.end())))
    }
}

fn not_a_date() -> Invalid {
    invalid("must be a date")
}

fn of_cell(value: ExcelDateTime) -> Result<NaiveDate, Invalid> {
    let (year, month, day, ..) = value.to_ymd_hms_milli();
    NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day)).ok_or_else(not_a_date)
}

/// Days since the workbook's epoch. A number that may just be a year is refused: as days it would be one in 1905.
fn of_serial(number: f64, from_1904: bool) -> Result<NaiveDate, Invalid> {
    let days = exact(number)?;
    if days.is_sign_negative() || (days.is_integer() && YEARS.contains(&i32::try_from(days).unwrap_or_default())) {
        return Err(not_a_date());
    }
    of_cell(ExcelDateTime::new(number, ExcelDateTimeType::DateTime, from_1904))
}

/// `2017-10-03`, `03/10/2017`, `3 Oct 2017`, `Oct 3, 2017`, each also with a time of day behind it.
fn of_text(text: &str) -> Result<NaiveDate, Invalid> {
    let parts: Vec<&str> = without_time(text)
        .split(|c: char| c.is_whitespace() || matches!(c, '-' | '/' | '.' | ','))
        .filter(|part| !part.is_empty())
        .collect();
    let &[first, second, third] = parts.as_slice() else { return Err(not_a_date()) };
    let date = if let Some(year) = year(first) {
        in_order(year, month(second), day(third))
    } else {
        let year = year(third).ok_or_else(|| invalid("must be a date with a year of four digits"))?;
        let day_first = in_order(year, month(second), day(first));
        day_first.or_else(|| in_order(year, month(first), day(second)))
    };
    date.ok_or_else(not_a_date)
}

fn in_order(year: i32, month: Option<u32>, day: Option<u32>) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month?, day?)
}

/// The date's part of a text: what stands before an ISO `T`, or before a word with a colon.
fn without_time(text: &str) -> &str {
    if let Some((date, time)) = text.split_once('T')
        && date.ends_with(|c: char| c.is_ascii_digit())
        && time.starts_with(|c: char| c.is_ascii_digit())
    {
        return date;
    }
    match text.find(':').and_then(|colon| text[..colon].rfind(char::is_whitespace)) {
        Some(end) => &text[..end],
        None => text,
    }
}

fn year(text: &str) -> Option<i32> {
    if text.len() == 4 { number(text).and_then(|year| year.try_into().ok()) } else { None }
}

fn month(text: &str) -> Option<u32> {
    if let Some(month) = number(text) {
        return Some(month);
    }
    let name = text.to_lowercase();
    if name.len() < SHORT_MONTH_CHARS {
        return None;
    }
    let position = MONTHS.iter().position(|full| full.starts_with(&name))?;
    u32::try_from(position).ok().map(|index| index + 1)
}

fn day(text: &str) -> Option<u32> {
    let plain = ["st", "nd", "rd", "th"].iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text);
    number(plain)
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
