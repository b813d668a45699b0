//! Endpoints that write.

mod create_loan;
mod register;
mod repay;

pub(super) use create_loan::create_loan;
pub(super) use register::register;
pub(super) use repay::repay;
