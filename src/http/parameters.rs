//! Parameters of a query string: each is known and given once, or the request is wrong.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::Problem;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;
const CURSOR_VERSION: &str = "c1.";

/// The parameters that have not been taken yet.
pub(super) struct Parameters(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Problem::invalid_field(name, "is given more than once"));
            }
        }
        Ok(Self(parameters))
    }
}

/// A page of a list: what stands behind a cursor, at most so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// The key of the last item of the page before; 0 for the first page.
    pub(super) after: i64,
    /// Items, 1 to 100.
    pub(super) limit: i64,
}

/// The cursor that continues behind a key. Opaque to clients.
pub(super) fn cursor(key: i64) -> String {
    format!("{CURSOR_VERSION}{key}")
}

impl Parameters {
    /// Takes a parameter, if it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Takes `cursor` and `limit`.
    pub(super) fn page(&mut self) -> Result<Page, Problem> {
        let limit =
            match self.take("limit") {
                None => DEFAULT_LIMIT,
                Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    Problem::invalid_field("limit", format!("must be an integer from 1 to {MAX_LIMIT}"))
                })?,
            };
        let after = match self.take("cursor") {
            None => 0,
            Some(text) => text
                .strip_prefix(CURSOR_VERSION)
                .and_then(|key| key.parse().ok())
                .filter(|key| *key >= 0)
                .ok_or_else(|| Problem::invalid_field("cursor", "must be a next_cursor of this list"))?,
        };
        Ok(Page { after, limit })
    }

    /// There must be nothing left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::invalid_field(name, "is not a parameter of this request")),
        }
    }
}
