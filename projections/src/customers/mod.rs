//! The customers read model: who the customers are.

mod list;
mod read;
mod row;

pub use list::{CustomerFilter, CustomerSummary, list, list_statement};
pub use read::{CustomerView, exists, exists_statement, find, find_statement};
pub(crate) use row::Customers;
