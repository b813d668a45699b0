//! Rate limits as problems.

use axum::http::StatusCode;

use super::Problem;
use crate::limits::Standing;

impl Problem {
    /// The caller has sent as many requests as it may: 429.
    #[must_use]
    pub fn rate_limited(Standing { quota, resets_in_seconds, .. }: Standing) -> Self {
        let detail = format!("All {quota} requests of the hour are used up. The next begins in {resets_in_seconds} s.");
        let (kind, title) = ("rate-limited", "Too many requests");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, kind, title, detail);
        Self { retry_after: Some(resets_in_seconds), ..problem }
    }

    /// Nobody can tell how many requests the caller has sent: 503.
    #[must_use]
    pub fn limits_unknown() -> Self {
        let detail = "How many requests were sent cannot be told, and without knowing none is let through.";
        let title = "Rate limits cannot be checked";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "rate-limits-unknown", title, detail);
        Self { retry_after: Some(1), ..problem }
    }
}
