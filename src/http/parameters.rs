//! Parameters of a query string: each is known and given once, or the request is wrong. All that is wrong is said at once.

use std::collections::BTreeMap;

use aggregates::Invalid;
use aggregates::money::Money;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, Utc};
use projections::keyset::{Key, KeyValue, Kind, Order, OrderColumn, PageOf};
use sha2::{Digest as _, Sha256};

use super::number::parse_decimal;
use super::problem::{FieldError, Problem};

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;
const CURSOR_VERSION: &str = "c2";
const CURSOR_SEPARATOR: char = '~';
/// Enough to tell a cursor that was mixed up or cut off; nobody gains anything from forging one.
const DIGEST_BYTES: usize = 6;
const FOREIGN_CURSOR: &str = "must be the next_cursor of this list under the same filters";
const BY_NUMBER: Order = &[OrderColumn("number", Kind::Integer)];
/// How a day is written.
const DAY: &str = "%Y-%m-%d";
const DAY_SHAPE: &[u8] = b"0000-00-00";

/// The parameters that have not been taken yet, and what was wrong with those that have.
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
    list: ListId,
}

/// Which list a request is about: its path and its filters.
#[derive(Clone)]
struct ListId(Sha256);

impl ListId {
    fn new(path: &str, parameters: &BTreeMap<String, String>) -> Self {
        let mut digest = Sha256::new_with_prefix(path);
        for (name, value) in parameters.iter().filter(|(name, _)| !matches!(name.as_str(), "cursor" | "limit")) {
            for part in [name, value] {
                digest.update([0]);
                digest.update(part);
            }
        }
        Self(digest)
    }

    /// The digest that binds a key to the list.
    fn digest(&self, key: &str) -> String {
        let digest = self.0.clone().chain_update([1]).chain_update(key).finalize();
        digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    fn cursor(&self, key: &Key) -> String {
        let key = key.to_string();
        format!("{CURSOR_VERSION}{CURSOR_SEPARATOR}{}{CURSOR_SEPARATOR}{key}", self.digest(&key))
    }

    fn key(&self, cursor: &str, order: Order) -> Option<Key> {
        let (version, rest) = cursor.split_once(CURSOR_SEPARATOR)?;
        let (digest, key) = rest.split_once(CURSOR_SEPARATOR)?;
        (version == CURSOR_VERSION && digest == self.digest(key)).then(|| Key::parse(key, order))?
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Problem::invalid_field(name, "is given more than once"));
            }
        }
        let list = ListId::new(parts.uri.path(), &values);
        Ok(Self { values, errors: Vec::new(), list })
    }
}

/// A page of a list that goes by a number: what stands behind a cursor, at most so many.
pub(super) struct Page {
    /// The number of the last item of the page before; 0 for the first page.
    pub(super) after: i64,
    /// Items, 1 to 100.
    pub(super) limit: i64,
    list: ListId,
}

impl Page {
    /// The cursor of the page that begins behind a number; it is of no use with other filters. Opaque to clients.
    pub(super) fn cursor(&self, number: i64) -> String {
        self.list.cursor(&Key::new([KeyValue::Integer(number)]))
    }
}

/// Which page of its list a request asks for.
pub(super) struct Paging {
    /// The page.
    pub(super) page: PageOf,
    list: ListId,
}

impl Paging {
    /// The cursor of the page that begins behind a key; it is of no use with other filters. Opaque to clients.
    pub(super) fn cursor(&self, next: Option<&Key>) -> Option<String> {
        next.map(|key| self.list.cursor(key))
    }
}

impl Parameters {
    /// Takes a parameter, if it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a parameter, if it is there and as it must be. What is wrong with it, [`Parameters::finish`] tells.
    pub(super) fn read<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        let parsed = parse(&self.take(name)?);
        parsed.map_err(|Invalid(message)| self.errors.push(FieldError { field: name.to_owned(), message })).ok()
    }

    /// Takes `cursor` and `limit`.
    pub(super) fn page(&mut self) -> Result<Page, Problem> {
        let limit = match self.take("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => {
                parse_limit(&text, MAX_LIMIT).map_err(|Invalid(message)| Problem::invalid_field("limit", message))?
            }
        };
        let list = self.list.clone();
        let after = match self.take("cursor") {
            None => 0,
            Some(text) => match list.key(&text, BY_NUMBER).as_ref().map(Key::values) {
                Some([KeyValue::Integer(number)]) => *number,
                Some(_) | None => return Err(Problem::invalid_field("cursor", FOREIGN_CURSOR)),
            },
        };
        Ok(Page { after, limit, list })
    }

    /// Takes `cursor` and `limit` of a list whose filters have been taken, and make this order of it. There must be
    /// nothing left then.
    ///
    /// # Errors
    /// A problem that names all parameters that are wrong.
    pub(super) fn finish_list(mut self, order: Order) -> Result<Paging, Problem> {
        let limit = self.read("limit", |text| parse_limit(text, MAX_LIMIT)).unwrap_or(DEFAULT_LIMIT);
        // Bounded by the largest limit.
        let limit = u16::try_from(limit).unwrap_or(u16::MAX);
        let list = self.list.clone();
        // With a filter that could not be read, the order is not the one that was meant.
        let after = if self.errors.is_empty() {
            let foreign = || Invalid(FOREIGN_CURSOR.to_owned());
            self.read("cursor", |text| list.key(text, order).ok_or_else(foreign))
        } else {
            let _ = self.take("cursor");
            None
        };
        self.finish()?;
        Ok(Paging { page: PageOf { after, limit }, list })
    }

    /// There must be nothing left, and nothing wrong.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let unknown = |field| FieldError { field, message: "is not a parameter of this request".to_owned() };
        self.errors.extend(self.values.into_keys().map(unknown));
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// A number of items, 1 to `at_most`.
pub(super) fn parse_limit(text: &str, at_most: i64) -> Result<i64, Invalid> {
    let limit = text.parse().ok().filter(|limit| (1..=at_most).contains(limit));
    limit.ok_or_else(|| Invalid(format!("must be an integer from 1 to {at_most}")))
}

/// An id.
pub(super) fn parse_id<T: TryFrom<i64, Error = Invalid>>(text: &str) -> Result<T, Invalid> {
    // 0 is no id: what is no integer is refused in the id's own words.
    T::try_from(text.parse().unwrap_or(0))
}

/// Rupees.
pub(super) fn parse_amount(text: &str) -> Result<Money, Invalid> {
    Money::try_from(parse_decimal(text.trim())?)
}

/// A day: `2026-11-24`.
pub(super) fn parse_day(text: &str) -> Result<NaiveDate, Invalid> {
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    let is_day = text.len() == DAY_SHAPE.len() && text.bytes().zip(DAY_SHAPE).all(fits);
    let day = NaiveDate::parse_from_str(text, DAY).ok().filter(|_| is_day);
    day.ok_or_else(|| Invalid("must be a day such as 2026-11-24".to_owned()))
}

/// A day that has come.
pub(super) fn parse_past_day(text: &str, today: NaiveDate) -> Result<NaiveDate, Invalid> {
    let day = parse_day(text).ok().filter(|day| *day <= today);
    day.ok_or_else(|| Invalid(format!("must be a day such as {today}, today or earlier")))
}

/// A moment: in RFC 3339's words, or a day, which stands for the moment at which it begins.
pub(super) fn parse_instant(
    text: &str,
    begins: impl FnOnce(NaiveDate) -> DateTime<Utc>,
) -> Result<DateTime<Utc>, Invalid> {
    if let Ok(day) = parse_day(text) {
        return Ok(begins(day));
    }
    let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.with_timezone(&Utc));
    let what = "must be a moment such as 2026-11-24T09:30:00Z (a + in it is written %2B), or a day such as 2026-11-24";
    instant.map_err(|_| Invalid(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const ORDER: Order = &[OrderColumn("id", Kind::Integer)];

    async fn parameters(uri: &str) -> Parameters {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        Parameters::from_request_parts(&mut parts, &()).await.unwrap()
    }

    /// The fields that are named when a list is asked for.
    async fn wrong(uri: &str) -> Vec<String> {
        let mut parameters = parameters(uri).await;
        let _ = parameters.read("since", parse_day);
        match parameters.finish_list(ORDER) {
            Ok(_) => Vec::new(),
            Err(problem) => problem.errors.into_iter().map(|error| error.field).collect(),
        }
    }

    #[tokio::test]
    async fn a_cursor_belongs_to_its_list_and_its_filters() {
        let mut first = parameters("/v1/things?since=2026-01-01&limit=3").await;
        let _ = first.read("since", parse_day);
        let paging = first.finish_list(ORDER).unwrap();
        assert_eq!(paging.page, PageOf { after: None, limit: 3 });
        let cursor = paging.cursor(Some(&Key::new([KeyValue::Integer(7)]))).unwrap();

        let mut next = parameters(&format!("/v1/things?cursor={cursor}&since=2026-01-01&limit=9")).await;
        let _ = next.read("since", parse_day);
        let paging = next.finish_list(ORDER).unwrap();
        assert_eq!(paging.page, PageOf { after: Some(Key::new([KeyValue::Integer(7)])), limit: 9 });

        for other in ["/v1/things?since=2026-01-02", "/v1/others?since=2026-01-01", "/v1/things?"] {
            assert_eq!(wrong(&format!("{other}&cursor={cursor}")).await, ["cursor"], "{other}");
        }
        let tampered = cursor.replace("~7", "~8");
        for bad in ["", "7", "c1.7", "c2~~7", &cursor[..cursor.len() - 1], &tampered] {
            assert_eq!(wrong(&format!("/v1/things?since=2026-01-01&cursor={bad}")).await, ["cursor"], "{bad}");
        }
    }

    #[tokio::test]
    async fn a_forged_cursor_of_a_day_that_the_database_has_not_is_refused() {
        const BY_DAY: Order = &[OrderColumn("day", Kind::Day), OrderColumn("at", Kind::Instant)];
        for (day, at) in [(NaiveDate::MAX, DateTime::UNIX_EPOCH), (NaiveDate::default(), DateTime::<Utc>::MAX_UTC)] {
            let forged =
                parameters("/v1/things").await.list.cursor(&Key::new([KeyValue::Day(day), KeyValue::Instant(at)]));
            let forged = forged.replace('+', "%2B");
            let refused = parameters(&format!("/v1/things?cursor={forged}")).await.finish_list(BY_DAY).err().unwrap();
            assert_eq!(
                refused.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
                ["cursor"],
                "{forged}"
            );
        }
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_named() {
        assert_eq!(wrong("/v1/things?since=yesterday&limit=0&cursor=x&until=now").await, ["since", "limit", "until"]);
        for limit in ["0", "101", "-1", "1.5", "ten", ""] {
            assert_eq!(wrong(&format!("/v1/things?limit={limit}")).await, ["limit"], "{limit}");
        }
        for day in [
            "2026-02-30",
            "2026-1-1",
            "26-01-01",
            "-001-01-01",
            "+2026-01-01",
            "2026-01-01T00:00:00Z",
            "",
            "%202026-01-01",
        ] {
            assert_eq!(wrong(&format!("/v1/things?since={day}")).await, ["since"], "{day}");
        }
    }

    #[test]
    fn a_day_is_the_moment_at_which_it_begins() {
        let begins = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc() - chrono::TimeDelta::minutes(330);
        let parsed = |text: &str| parse_instant(text, begins).map(|at| at.to_rfc3339()).ok();
        assert_eq!(parsed("2026-01-01").as_deref(), Some("2025-12-31T18:30:00+00:00"));
        assert_eq!(parsed("2026-01-01T00:00:00+05:30").as_deref(), Some("2025-12-31T18:30:00+00:00"));
        assert_eq!(parsed("2026-01-01T00:00:00.5Z").as_deref(), Some("2026-01-01T00:00:00.500+00:00"));
        for bad in ["", "now", "2026-01-01T00:00:00", "2026-01-01T00:00:00 05:30", "1767225600"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
