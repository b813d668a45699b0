//! What Prometheus asks for: what this process has counted since it started, and how things stand in the databases.
//!
//! Whoever counts something owns its metrics and registers them here once ([`Metrics::register`]); nothing here knows
//! what they mean. What every process would answer alike is read when it is asked for ([`standing`]).

pub mod buckets;
mod process;
mod standing;

use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::import::jobs as imports;
use crate::relay::lag::RelayLag;
use crate::status::Status;

/// The content type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PREFIX: &str = "credit_approval";

/// How things stand in the databases and in the stream.
pub struct Standing {
    /// Log and read models.
    pub status: Status,
    /// How many imports are in which state.
    pub imports: Vec<(imports::State, i64)>,
    /// What the stream lacks; `None` where that is not known.
    pub relay: Option<RelayLag>,
}

/// The metrics of this process.
pub struct Metrics(Mutex<Registry>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        process::register(&mut registry);
        Self(Mutex::new(registry))
    }
}

impl Metrics {
    /// Adds the metrics of one area; their names get the product's prefix.
    pub fn register<T>(&self, area: impl FnOnce(&mut Registry) -> T) -> T {
        area(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this process has counted, and nothing that would need a database, in the text format.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub fn render_own(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        self.register(|own| encode_registry(&mut text, own))?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// All of them, in the text format, with how things stand: `None` where that could not be read, which is told, too.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub fn render(&self, standing: Option<&Standing>) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let mut registry = Registry::with_prefix(PREFIX);
        standing::register(&mut registry, standing);
        encode_registry(&mut text, &registry)?;
        self.register(|own| encode_registry(&mut text, own))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
