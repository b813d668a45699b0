//! Requests that are not taken on, or take too long, as problems.

use axum::http::StatusCode;
use rand::RngExt;

use super::Problem;

/// Whoever is sent away comes back after one of these, so that not all come back at once.
const COME_BACK_SECONDS: std::ops::RangeInclusive<u16> = 1..=3;

impl Problem {
    /// More is asked for than this process takes on, and nothing was done: 503.
    pub(in crate::http) fn overloaded() -> Self {
        let detail = "More is asked for at the moment than can be answered in time. Nothing was done.";
        let title = "Too many requests at once";
        let retry_after = Some(rand::rng().random_range(COME_BACK_SECONDS));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", title, detail) }
    }

    /// What was read took too long: 503.
    pub(in crate::http) fn took_too_long() -> Self {
        let detail = "The answer was not there in time.";
        let title = "The request took too long";
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "took-too-long", title, detail) }
    }

    /// The command takes too long, and goes on: 503, and no hint to try again, which without a key could do it twice.
    pub(in crate::http) fn still_under_way() -> Self {
        let detail = "The command was not done in time and goes on. Sending it again with the same Idempotency-Key is \
                      safe; without one, look before sending it again.";
        Self { detail: detail.to_owned(), ..Self::outcome_unknown() }
    }
}
