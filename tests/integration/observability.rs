//! What the service tells of itself: its log, its metrics, its traces, and the dashboards and alerts that read them.

mod catalogue;
mod collector;
mod logs;
mod metrics;
mod privacy;
mod service;
mod traces;
