//! Where a span of decisions begins or ends: a business day, or an instant.

use std::str::FromStr;

use aggregates::Invalid;
use chrono::{DateTime, NaiveDate, Utc};

use crate::commands::BusinessCalendar;

const DAY: &str = "2026-03-31";

/// A business day, which stands for its beginning, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The beginning of a business day.
    Day(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
}

impl FromStr for Moment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() == DAY.len()
            && let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        {
            return Ok(Self::Day(day));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Self::Instant(at.to_utc())),
            Err(_) => Err(Invalid(format!("must be a day such as {DAY} or an instant such as {DAY}T12:00:00Z"))),
        }
    }
}

impl Moment {
    /// As an instant.
    #[must_use]
    pub fn at(self, calendar: BusinessCalendar) -> DateTime<Utc> {
        match self {
            Self::Instant(at) => at,
            Self::Day(day) => calendar.begins(day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_business_does() {
        let calendar = BusinessCalendar("+05:30".parse().unwrap());
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.at(calendar).to_rfc3339());
        assert_eq!(at("2026-03-31"), Ok("2026-03-30T18:30:00+00:00".to_owned()));
        assert_eq!(at("2026-03-31T12:00:00Z"), Ok("2026-03-31T12:00:00+00:00".to_owned()));
        assert_eq!(at("2026-03-31T12:00:00+05:30"), Ok("2026-03-31T06:30:00+00:00".to_owned()));
        for wrong in ["", "2026-02-30", "31-03-2026", "2026-3-1", "+12345-01-01", "2026-03-31T12:00:00", "today"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
