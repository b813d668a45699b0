//! The service against real PostgreSQL and NATS: private servers for this run, a database and a stream for each test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the exemption for tests does not reach helpers and table cases"
)]

mod bad_input;
mod chaos;
mod concurrency;
mod delivery;
mod endpoints;
mod gaps;
mod idempotency;
mod import;
mod process;
mod read_your_writes;
mod recorded_decisions;
mod support;
mod wrong_paths;
