//! What a cell's value says: numbers, money, ids and texts, however the file writes them.
//!
//! Each function takes one cell and answers with a value or with a reason, a sentence without its subject. It knows
//! no row and no column, and a reason never repeats the value: whoever knows the column decides whether it may be
//! shown. A cell's binary number becomes the shortest decimal that stands for it, and is never calculated with.

mod date;

use std::str::FromStr;

use aggregates::Invalid;
use aggregates::ids::MAX_ID;
use aggregates::money::{MONEY_DECIMALS, Money};
use aggregates::person::PhoneNumber;
use aggregates::terms::{RATE_DECIMALS, Rate};
use calamine::DataRef;
use rust_decimal::{Decimal, RoundingStrategy};

pub(super) use self::date::date;

/// The longest text of a cell, in characters.
const MAX_TEXT_CHARS: usize = 10_000;
/// The longest id, in characters.
const MAX_ID_CHARS: usize = 100;
/// What binary arithmetic in a spreadsheet leaves behind: a millionth, as mantissa and scale.
const NOISE: (i64, u32) = (1, 6);
/// The longest piece of a value that is repeated in messages, in characters.
const MAX_EXCERPT_CHARS: usize = 40;

fn invalid(reason: impl Into<String>) -> Invalid {
    Invalid(reason.into())
}

/// The text of a cell, if it is one.
pub(super) fn as_text<'c>(cell: &'c DataRef<'_>) -> Option<&'c str> {
    match cell {
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some(text),
        DataRef::SharedString(text) => Some(text),
        DataRef::Int(_)
        | DataRef::Float(_)
        | DataRef::Bool(_)
        | DataRef::DateTime(_)
        | DataRef::Error(_)
        | DataRef::Empty => None,
    }
}

/// Whether there is nothing in it, or nothing but spaces.
pub(super) fn is_blank(cell: &DataRef<'_>) -> bool {
    matches!(cell, DataRef::Empty) || as_text(cell).is_some_and(|text| text.trim().is_empty())
}

/// Refuses what no column takes: nothing, an error, an overlong text.
pub(super) fn check(cell: &DataRef<'_>) -> Result<(), Invalid> {
    if is_blank(cell) {
        return Err(invalid("is missing"));
    }
    if let DataRef::Error(error) = cell {
        return Err(invalid(format!("is the error {error}")));
    }
    let text = as_text(cell).unwrap_or_default();
    if text.len() > MAX_TEXT_CHARS && text.chars().count() > MAX_TEXT_CHARS {
        return Err(invalid(format!("has more than {MAX_TEXT_CHARS} characters")));
    }
    Ok(())
}

/// A short piece of the value for a message, where the column allows it.
pub(super) fn excerpt(cell: &DataRef<'_>) -> Option<String> {
    let value = match cell {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::String(_) | DataRef::SharedString(_) | DataRef::DateTimeIso(_) | DataRef::DurationIso(_) => {
            as_text(cell).unwrap_or_default().trim().to_owned()
        }
        DataRef::DateTime(_) | DataRef::Error(_) | DataRef::Empty => return None,
    };
    let mut short: String = value.chars().take(MAX_EXCERPT_CHARS).flat_map(char::escape_debug).collect();
    if value.chars().nth(MAX_EXCERPT_CHARS).is_some() {
        short.push('…');
    }
    (!short.is_empty()).then_some(short)
}

/// A text that is not a number.
pub(super) fn text<'c>(cell: &'c DataRef<'_>) -> Result<&'c str, Invalid> {
    as_text(cell).ok_or_else(|| invalid("must be a text"))
}

/// An id as text: `9268` whether the cell holds the number or the text, anything else as it stands.
pub(super) fn id(cell: &DataRef<'_>) -> Result<String, Invalid> {
    let Some(text) = as_text(cell) else {
        let number = number(cell).map_err(|_| invalid("must be an integer or a text"))?;
        let whole = integral(number).ok_or_else(|| invalid("must be an integer or a text"))?;
        return if whole.unsigned_abs() <= MAX_ID.unsigned_abs() {
            Ok(whole.to_string())
        } else {
            Err(invalid("has more digits than a number cell can hold; it must be a text"))
        };
    };
    let text = without_zero_fraction(text.trim());
    if text.chars().count() > MAX_ID_CHARS {
        return Err(invalid(format!("must have at most {MAX_ID_CHARS} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid("must not contain control characters"));
    }
    Ok(text.to_owned())
}

/// The integer that an id is, if it is a plain positive one: `9268`, but not `09268`, `9268.5` or `LOAN_000001`.
pub(super) fn integer_id(external_id: &str) -> Option<i64> {
    let plain = !external_id.starts_with('0') && external_id.bytes().all(|byte| byte.is_ascii_digit());
    external_id.parse().ok().filter(|id| plain && (1..=MAX_ID).contains(id))
}

/// A phone number's digits, without the spaces, hyphens, dots, brackets and plus sign it may be written with.
pub(super) fn phone_number(cell: &DataRef<'_>) -> Result<PhoneNumber, Invalid> {
    let digits = match as_text(cell) {
        Some(text) => {
            let text = without_zero_fraction(text.trim());
            let text = text.strip_prefix('+').unwrap_or(text);
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '(' | ')')).collect()
        }
        None => integral(number(cell)?).ok_or_else(|| invalid("must be digits"))?.to_string(),
    };
    PhoneNumber::try_from(digits)
}

/// An amount of rupees.
pub(super) fn money(cell: &DataRef<'_>) -> Result<Money, Invalid> {
    Money::try_from(without_noise(number(cell)?, MONEY_DECIMALS))
}

/// Percent a year; of a cell that is shown as a percentage, a hundred times its value.
pub(super) fn rate(cell: &DataRef<'_>, shown_as_percentage: bool) -> Result<Rate, Invalid> {
    let percent = match as_text(cell) {
        Some(text) => {
            let text = text.trim();
            written_number(text.strip_suffix('%').unwrap_or(text))?
        }
        None if shown_as_percentage => {
            number(cell)?.checked_mul(Decimal::ONE_HUNDRED).ok_or_else(|| invalid("is out of range"))?
        }
        None => number(cell)?,
    };
    Rate::try_from(without_noise(percent, RATE_DECIMALS))
}

/// An integer, also when it is written `12.0`.
pub(super) fn whole(cell: &DataRef<'_>) -> Result<i64, Invalid> {
    integral(number(cell)?).ok_or_else(|| invalid("must be an integer"))
}

/// A number, exactly as the cell says it.
fn number(cell: &DataRef<'_>) -> Result<Decimal, Invalid> {
    match cell {
        DataRef::Int(number) => Ok(Decimal::from(*number)),
        DataRef::Float(number) => exact(*number),
        DataRef::String(text) => written_number(text),
        DataRef::SharedString(text) => written_number(text),
        DataRef::DateTime(_) | DataRef::DateTimeIso(_) | DataRef::DurationIso(_) => {
            Err(invalid("must be a number, not a date"))
        }
        DataRef::Bool(_) | DataRef::Error(_) | DataRef::Empty => Err(invalid("must be a number")),
    }
}

/// The shortest decimal that reads back as the same binary number.
fn exact(number: f64) -> Result<Decimal, Invalid> {
    if !number.is_finite() {
        return Err(invalid("must be a number"));
    }
    Decimal::from_str(&number.to_string()).map_err(|_| invalid("is out of range"))
}

/// Rounds half up where only binary noise is lost, and leaves the number alone where more would be.
fn without_noise(number: Decimal, decimals: u32) -> Decimal {
    let rounded = number.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
    let (mantissa, scale) = NOISE;
    if (rounded - number).abs() <= Decimal::new(mantissa, scale) { rounded } else { number }
}

fn integral(number: Decimal) -> Option<i64> {
    let number = without_noise(number, 0).normalize();
    if number.scale() == 0 { i64::try_from(number).ok() } else { None }
}

/// `9268` of `9268.0`, which is how some programs write an integer as text.
fn without_zero_fraction(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, fraction))
            if !whole.is_empty()
                && !fraction.is_empty()
                && whole.bytes().all(|byte| byte.is_ascii_digit())
                && fraction.bytes().all(|byte| byte == b'0') =>
        {
            whole
        }
        _ => text,
    }
}

/// A number as people write it: `50000`, `5,00,000.00`, `₹ 50,000`, `Rs. 500`.
fn written_number(text: &str) -> Result<Decimal, Invalid> {
    let not_a_number = || invalid("must be a number");
    let (negative, text) = signed(text.trim());
    let text = without_currency(text);
    let (negative, text) = if negative { (true, text) } else { signed(text) };
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(not_a_number()),
        None => (text, "0"),
    };
    if !is_grouped(whole) || !all_digits(fraction) {
        return Err(not_a_number());
    }
    let digits: String = whole.chars().filter(|c| *c != ',').chain(['.']).chain(fraction.chars()).collect();
    let number = Decimal::from_str(&digits).map_err(|_| invalid("is out of range"))?;
    Ok(if negative { -number } else { number })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn without_currency(text: &str) -> &str {
    const SIGNS: [&str; 4] = ["₹", "Rs.", "Rs", "INR"];
    let text = text.strip_suffix("/-").unwrap_or(text);
    let after = |sign: &&str| {
        let (head, rest) = text.split_at_checked(sign.len())?;
        head.eq_ignore_ascii_case(sign).then(|| rest.trim_start())
    };
    SIGNS.iter().find_map(after).unwrap_or(text)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits, with commas only where thousands or, as in India, hundreds of thousands end. A comma elsewhere may mean a
/// decimal point, so it is not guessed at.
fn is_grouped(whole: &str) -> bool {
    let groups: Vec<&str> = whole.split(',').collect();
    match groups.as_slice() {
        [only] => all_digits(only),
        [first, middle @ .., last] => {
            groups.iter().all(|group| all_digits(group))
                && first.len() <= 3
                && last.len() == 3
                && middle.iter().all(|group| matches!(group.len(), 2 | 3))
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests;
