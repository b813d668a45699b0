//! The credit-profiles read model: income, limit and loans of a customer in one row, so that eligibility is one
//! primary-key lookup and the same arithmetic as a decision.

mod read;
mod row;

pub use read::{Found, find, find_statement};
pub(crate) use row::CreditProfiles;
