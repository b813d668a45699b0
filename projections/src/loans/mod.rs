//! The loans read model: every loan with its terms and how much of it is repaid.

mod read;
mod row;

pub use read::{Borrower, LoanView, current_of, find_with_borrower};
pub(crate) use row::Loans;
