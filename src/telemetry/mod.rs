//! What a process tells of itself while it runs: its log, its traces, and how much of a request's time went to the
//! databases.
//!
//! Three layers on one registry, each with a filter of its own, so that none sees more for another's sake: [`log`] writes
//! lines, [`statements`] adds up what a request asked the databases, and [`traces`] makes spans where somebody collects
//! them. A process without [`Telemetry::start`], such as a test's, does all of it without being heard.

mod log;
pub mod statements;
pub mod traces;

use std::time::Duration;

use tokio::runtime::Handle;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config;

use self::traces::{Exporter, TracesError};

/// Why a process cannot tell of itself as it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log is none.
    #[error("RUST_LOG is no filter for the log")]
    Filter(#[from] ParseError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// It was started before.
    #[error("the log was set up before")]
    Again(#[from] TryInitError),
}

/// The process's log and traces, for as long as it runs.
pub struct Telemetry {
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Sets log and traces up; what sends traces runs on `runtime`.
    ///
    /// # Errors
    /// [`TelemetryError`], naming what is wrong with the options.
    pub fn start(options: &config::Telemetry, runtime: &Handle) -> Result<Self, TelemetryError> {
        let exporter = Exporter::new(&options.traces, runtime)?;
        tracing_subscriber::registry()
            .with(log::layer(options.log_format, &options.log_filter)?)
            .with(statements::layer())
            .with(exporter.as_ref().map(Exporter::layer))
            .try_init()?;
        Ok(Self { exporter })
    }

    /// Sends what is left of the traces, for a bounded time. Blocks, so not for a task; the runtime must still run.
    pub fn stop(self) {
        if let Some(exporter) = self.exporter {
            exporter.stop();
        }
    }
}

/// A time as the log has it: a number of milliseconds, to the microsecond.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    let to_the_microsecond = Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    to_the_microsecond.saturating_mul(1000).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_go_to_the_microsecond() {
        let written = |nanos| milliseconds(Duration::from_nanos(nanos)).to_string();
        assert_eq!([written(0), written(7_999), written(1_234_567_890)], ["0", "0.007", "1234.567"]);
    }
}
