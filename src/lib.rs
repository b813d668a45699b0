//! credit-approval: decides who gets credit, records why, and never loses or double-counts a rupee.
//!
//! [`app`] wires everything in one place; read it from top to bottom for the flow. The domain is the `aggregates`
//! crate, the read models are the `projections` crate; here is what moves events between them and the world.

pub mod access;
pub mod app;
pub mod audit;
pub mod backtest;
pub mod backup;
pub mod breaker;
pub mod bus;
pub mod cache;
pub mod commands;
pub mod config;
pub mod databases;
pub mod embedded;
pub mod gate;
pub mod gather;
pub mod generate;
pub mod health;
pub mod history;
pub mod http;
pub mod import;
pub mod limits;
pub mod listening;
pub mod metrics;
pub mod ops;
pub mod perf;
pub mod policies;
pub mod progress;
pub mod projector;
pub mod relay;
pub mod replay;
pub mod sample;
pub mod servers;
pub mod starting;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod verify;
