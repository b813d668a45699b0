//! What the tests share: the run's servers, a service for each test, and a client.
//!
//! - `app`, `process`: the service, inside the test's process or as one of its own
//! - `client`, `keys`, `changes`, `problem`, `traffic`: what is asked of it and by whom, and what it answers
//! - `log`, `sql`, `workers`: what lies behind the API
//! - `metrics`, `projections`, `rebuilds`: how its read models stand
//! - `leases`, `verified`, `wait`: what tests wait for, and hold it to
//! - `servers`, `line`, `cleanup`: the run's own servers, the way to them, and their end

pub(crate) mod app;
pub(crate) mod changes;
pub(crate) mod cleanup;
pub(crate) mod client;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod problem;
pub(crate) mod process;
pub(crate) mod projections;
pub(crate) mod rebuilds;
pub(crate) mod servers;
pub(crate) mod sql;
pub(crate) mod traffic;
pub(crate) mod verified;
pub(crate) mod wait;
pub(crate) mod workers;

pub(crate) use app::TestApp;
pub(crate) use client::{Answer, Client};
