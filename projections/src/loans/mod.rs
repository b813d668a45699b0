//! The loans read model: every loan with its terms and its repayments.

mod detail;
mod list;
mod read;
mod row;

pub use detail::{LoanDetail, find, find_statement};
pub use list::{LoanFilter, LoanSummary, list, list_statement};
pub use read::{
    Borrower, LoanView, current_of, current_of_statement, find_with_borrower, find_with_borrower_statement,
};
pub(crate) use row::Loans;
