//! Keyset pagination: a page begins behind the key of the last item of the page before it.
//!
//! A list's order ends in the row's id, so every row has a place of its own, and an index leads to it: the hundredth
//! page costs what the first does. Rows that come and go meanwhile move no other: each row that is there all the time,
//! with its key unchanged, is listed exactly once.

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{Encode, Postgres, Type};

use crate::statement::Statement;

/// What stands between the values of a key in its text; it needs no escaping in a URL.
const SEPARATOR: char = '~';
/// The years that a key can be of: PostgreSQL has not all that there are here.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// What a key's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An id, a count.
    Integer,
    /// Rupees.
    Amount,
    /// A date.
    Day,
    /// A moment.
    Instant,
}

/// A column by which a list is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderColumn(pub &'static str, pub Kind);

/// The columns by which a list is ordered, ascending; together they are unique.
pub type Order = &'static [OrderColumn];

/// A column's value in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValue {
    /// An id, a count.
    Integer(i64),
    /// Rupees.
    Amount(Decimal),
    /// A date.
    Day(NaiveDate),
    /// A moment, to the microsecond.
    Instant(DateTime<Utc>),
}

impl KeyValue {
    fn parse(text: &str, kind: Kind) -> Option<Self> {
        match kind {
            Kind::Integer => text.parse().ok().map(Self::Integer),
            Kind::Amount => Decimal::from_str_exact(text).ok().map(Self::Amount),
            Kind::Day => text.parse().ok().filter(is_of_these_years).map(Self::Day),
            Kind::Instant => {
                let instant = DateTime::from_timestamp_micros(text.parse().ok()?);
                instant.filter(|instant| is_of_these_years(&instant.date_naive())).map(Self::Instant)
            }
        }
    }

    fn bind(self, statement: &mut Statement) -> String {
        match self {
            Self::Integer(value) => statement.push(value),
            Self::Amount(value) => statement.push(value),
            Self::Day(value) => statement.push(value),
            Self::Instant(value) => statement.push(value),
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Amount(value) => value.normalize().fmt(f),
            Self::Day(value) => value.fmt(f),
            Self::Instant(value) => value.timestamp_micros().fmt(f),
        }
    }
}

fn is_of_these_years(day: &NaiveDate) -> bool {
    YEARS.contains(&day.year())
}

/// Where a row stands in a list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Vec<KeyValue>);

impl Key {
    /// A key of these values, in the order of the columns.
    #[must_use]
    pub fn new(values: impl Into<Vec<KeyValue>>) -> Self {
        Self(values.into())
    }

    /// Its values.
    #[must_use]
    pub fn values(&self) -> &[KeyValue] {
        &self.0
    }

    /// Reads a key's text; `None` when it is no key of that order.
    #[must_use]
    pub fn parse(text: &str, order: Order) -> Option<Self> {
        let mut parts = text.split(SEPARATOR);
        let values = order.iter().map(|OrderColumn(_, kind)| KeyValue::parse(parts.next()?, *kind));
        let values = values.collect::<Option<Vec<_>>>()?;
        parts.next().is_none().then_some(Self(values))
    }
}

/// Its values with `~` between them.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, value) in self.0.iter().enumerate() {
            if place > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            value.fmt(f)?;
        }
        Ok(())
    }
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOf {
    /// The key of the last item of the page before; `None` for the first page.
    pub after: Option<Key>,
    /// Items, at most.
    pub limit: u16,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its items, in the list's order.
    pub items: Vec<T>,
    /// The key behind which the next page begins; `None` when this is the last.
    pub next: Option<Key>,
}

impl<T> Page<T> {
    /// A page of up to `limit` of the rows that were found, one more than that telling that there is a next one.
    pub fn of(mut found: Vec<T>, limit: u16, key: impl FnOnce(&T) -> Key) -> Self {
        let limit = usize::from(limit);
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next = found.last().filter(|_| !is_last).map(key);
        Self { items: found, next }
    }
}

/// A list's statement in the making: conditions on rows of one table.
pub(crate) struct Select {
    statement: Statement,
    begun: bool,
}

impl Select {
    /// These columns of a table.
    pub(crate) fn new(columns: &str, table: impl fmt::Display) -> Self {
        Self { statement: Statement::new(format!("select {columns} from {table}")), begun: false }
    }

    /// A condition without a value.
    pub(crate) fn holds(&mut self, condition: &str) {
        let joint = if std::mem::replace(&mut self.begun, true) { " and " } else { " where " };
        let sql = self.statement.sql_mut();
        sql.push_str(joint);
        sql.push_str(condition);
    }

    /// A condition on a value, where there is one: `compared` is a column and an operator.
    pub(crate) fn compare<'v, T: Encode<'v, Postgres> + Type<Postgres> + 'v>(
        &mut self,
        compared: &str,
        value: Option<T>,
    ) {
        if let Some(value) = value {
            let placeholder = self.statement.push(value);
            self.holds(&format!("{compared} {placeholder}"));
        }
    }

    /// Only rows behind a key.
    pub(crate) fn behind(&mut self, order: Order, key: &Key) {
        let values: Vec<_> = key.values().iter().map(|value| value.bind(&mut self.statement)).collect();
        self.holds(&format!("({}) > ({})", names(order), values.join(", ")));
    }

    /// The statement with what comes behind its conditions: an order, and a limit that stands in it as a number, since
    /// the plan depends on it.
    pub(crate) fn ending(mut self, ending: &str) -> Statement {
        let sql = self.statement.sql_mut();
        sql.push(' ');
        sql.push_str(ending);
        self.statement.planned_anew()
    }

    /// The statement for one page, and one row more.
    pub(crate) fn page(mut self, order: Order, page: &PageOf) -> Statement {
        if let Some(key) = &page.after {
            self.behind(order, key);
        }
        self.ending(&format!("order by {} limit {}", names(order), u32::from(page.limit) + 1))
    }
}

fn names(order: Order) -> String {
    order.iter().map(|OrderColumn(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeZone, Utc};
    use rust_decimal::Decimal;

    use super::{Key, KeyValue, Kind, Order, OrderColumn, Page};

    const ORDER: Order = &[
        OrderColumn("amount", Kind::Amount),
        OrderColumn("day", Kind::Day),
        OrderColumn("at", Kind::Instant),
        OrderColumn("id", Kind::Integer),
    ];

    fn key() -> Key {
        Key::new([
            KeyValue::Amount(Decimal::new(150_050, 2)),
            KeyValue::Day(NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()),
            KeyValue::Instant(Utc.timestamp_micros(1_700_000_000_123_456).unwrap()),
            KeyValue::Integer(7),
        ])
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        assert_eq!(key().to_string(), "1500.5~2024-02-29~1700000000123456~7");
        assert_eq!(Key::parse(&key().to_string(), ORDER), Some(key()));
    }

    #[test]
    fn what_is_no_key_of_the_order_is_refused() {
        for text in ["", "1", "1~2024-02-29~1~x", "1~2024-02-30~1~7", "1~2024-02-29~1~7~8", "x~2024-02-29~1~7"] {
            assert_eq!(Key::parse(text, ORDER), None, "{text}");
        }
    }

    #[test]
    fn days_and_instants_of_years_that_the_database_has_not_are_refused() {
        let key = |day: &str, instant: i64| Key::parse(&format!("1~{day}~{instant}~7"), ORDER);
        let micros = |text: &str| text.parse::<chrono::DateTime<Utc>>().unwrap().timestamp_micros();
        let (first, last) = (micros("0001-01-01T00:00:00Z"), micros("9999-12-31T23:59:59.999999Z"));
        for (day, instant) in [("0001-01-01", first), ("9999-12-31", last)] {
            assert!(key(day, instant).is_some(), "{day} {instant}");
        }
        for day in ["0000-12-31", "-0001-01-01", "+10000-01-01", "-262143-01-01", "+262142-12-31"] {
            assert_eq!(key(day, 1), None, "{day}");
        }
        for instant in [first - 1, last + 1, i64::MIN, i64::MAX, micros("+262142-12-31T23:59:59Z")] {
            assert_eq!(key("2024-02-29", instant), None, "{instant}");
        }
    }

    #[test]
    fn a_page_has_a_next_one_only_when_a_row_was_left_over() {
        let of = |found: &[i64]| Page::of(found.to_vec(), 2, |last| Key::new([KeyValue::Integer(*last)]));
        assert_eq!(of(&[]), Page { items: vec![], next: None });
        assert_eq!(of(&[1, 2]), Page { items: vec![1, 2], next: None });
        assert_eq!(of(&[1, 2, 3]), Page { items: vec![1, 2], next: Some(Key::new([KeyValue::Integer(2)])) });
    }
}
