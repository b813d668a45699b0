//! The customers read model: who the customers are.

mod read;
mod row;

pub use read::exists;
pub(crate) use row::Customers;
