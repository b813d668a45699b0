//! Endpoints that write.

mod create_loan;
mod register;

pub(super) use create_loan::create_loan;
pub(super) use register::register;
