//! How a length of time is written: `90d`, `12h`, `30m`, `45s`.

use chrono::TimeDelta;

/// A century: beyond it somebody has mistaken the unit.
const MAX_DAYS: i64 = 36_525;

/// The length of time that a text says.
pub(super) fn duration(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "must be a whole number of days, hours, minutes or seconds: 90d, 12h, 30m, 45s".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let digits = text.strip_suffix(unit).ok_or_else(wrong)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    let length = match unit {
        'd' => TimeDelta::try_days(count),
        'h' => TimeDelta::try_hours(count),
        'm' => TimeDelta::try_minutes(count),
        's' => TimeDelta::try_seconds(count),
        _ => return Err(wrong()),
    };
    let fits = |length: &TimeDelta| length.num_days() <= MAX_DAYS;
    length.filter(fits).ok_or_else(|| format!("must be at most {MAX_DAYS} days"))
}

/// The same, and not nothing.
pub(super) fn lifetime(text: &str) -> Result<TimeDelta, String> {
    let length = duration(text)?;
    if length.is_zero() { Err("must not be nothing".to_owned()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_number_and_a_unit() {
        let cases = [("90d", 90 * 86_400), ("12h", 43_200), ("30m", 1_800), ("45s", 45), ("0s", 0)];
        for (text, seconds) in cases {
            assert_eq!(duration(text).map(|length| length.num_seconds()), Ok(seconds), "{text}");
        }
        for bad in [
            "",
            "d",
            "7",
            "-1d",
            "+1d",
            "1.5h",
            "1 d",
            "1w",
            "1D",
            "99999d",
            "99999999999999999999s",
            "9223372036854775807d",
            "1é",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(lifetime("0s").is_err() && lifetime("1s").is_ok());
    }
}
