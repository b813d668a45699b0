//! Tests of the pure domain, through its public face only: worked examples as tables, every refusal as
//! given/when/then, invariants as properties against independent integer arithmetic, and one golden document per event.
//!
//! One binary, so that it links once. [`exact`] and [`strategies`] must not call the arithmetic they judge.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the exemption for tests does not reach helpers and table cases"
)]

mod account;
mod alternatives;
mod bounds;
mod calendar;
mod decision;
mod decision_properties;
mod exact;
mod given_when_then_customer;
mod given_when_then_customer_applies;
mod given_when_then_customer_changes;
mod given_when_then_customer_repays;
mod given_when_then_loan;
mod given_when_then_loan_repays;
mod given_when_then_loan_reverses;
mod given_when_then_loan_settles;
mod golden;
mod golden_samples;
mod instalments;
mod loan_life_properties;
mod loans;
mod money;
mod policy_files;
mod profile;
mod repayment_properties;
mod schedule;
mod score;
mod strategies;
mod support;
