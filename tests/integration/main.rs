//! The service against real PostgreSQL and NATS: private servers for this run, a database and a stream for each test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the exemption for tests does not reach helpers and table cases"
)]

mod access;
mod as_of;
mod audit;
mod backtest;
mod backup;
mod bad_input;
mod cache;
mod chaos;
mod concurrency;
mod customer_details;
mod decisions;
mod deliveries;
mod delivery;
mod edge;
mod endpoints;
mod gaps;
mod health;
mod held_log;
mod idempotency;
mod import;
mod imports;
mod limits;
mod lists;
mod load;
mod loan_life;
mod loan_shown;
mod loan_upgrade;
mod migrations;
mod newer_version;
mod observability;
mod openapi;
mod parking;
mod perf_check;
mod plans;
mod policies;
mod process;
mod projections_status;
mod read_your_writes;
mod rebuild;
mod recorded_decisions;
mod relays;
mod roll_out;
mod support;
mod takeover;
mod together;
mod verify;
mod wrong_paths;
