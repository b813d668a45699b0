//! Endpoints that read. They are answered from the read models, never from the event store.

mod check_eligibility;
mod view_loan;

pub(super) use check_eligibility::check_eligibility;
pub(super) use view_loan::{view_loan, view_loans};

use aggregates::Invalid;

use super::problem::Problem;

/// An id in a path. What is no integer is a bad request; an integer that can be no id names nothing.
fn path_id<T: TryFrom<i64, Error = Invalid>>(field: &'static str, text: &str) -> Result<T, Problem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::invalid_field(field, "must be an integer"));
    }
    let id = text.parse::<i64>().ok().and_then(|id| T::try_from(id).ok());
    id.ok_or_else(|| Problem::not_found(field, text))
}
