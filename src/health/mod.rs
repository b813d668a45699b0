//! How this process is, for whoever restarts it or sends it requests: whether it has started, whether it can serve, and
//! whether it is about to stop. Nothing here knows HTTP.
//!
//! That it lives needs no word here: a process that answers at all does. Why it is not ready is always said by name.

mod checks;

use std::sync::OnceLock;

use tokio::sync::watch;

pub use self::checks::Checks;

/// How far a process has come; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Private servers are being started.
    Servers,
    /// The databases are waited for.
    Databases,
    /// The schemas are being brought up to date, here or by another process.
    Schemas,
    /// The read models apply what the log holds.
    CatchingUp,
    /// It has started.
    Started,
    /// It has been asked to stop.
    Stopping,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Servers => "is starting its servers",
            Self::Databases => "waits for the databases",
            Self::Schemas => "is bringing the schemas up to date, or waits for a process that is",
            Self::CatchingUp => "lets the read models apply what the log holds",
            Self::Started => "has started",
            Self::Stopping => "has been asked to stop",
        })
    }
}

/// A check that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub check: &'static str,
    /// What is wrong, as the end of a sentence that the name begins.
    pub message: String,
}

impl Failure {
    fn new(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, message: message.into() }
    }
}

/// How this process is.
pub struct Health {
    stage: watch::Sender<Stage>,
    checks: OnceLock<Checks>,
}

impl Default for Health {
    fn default() -> Self {
        Self { stage: watch::Sender::new(Stage::Servers), checks: OnceLock::new() }
    }
}

impl Health {
    /// It has come so far.
    pub fn reached(&self, stage: Stage) {
        self.stage.send_if_modified(|at| {
            let rises = stage > *at;
            *at = stage.max(*at);
            rises
        });
    }

    /// From now on it is ready only when these hold.
    pub fn depends_on(&self, checks: Checks) {
        // A process starts once.
        let _ = self.checks.set(checks);
    }

    /// Whether it has been asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stage.borrow() == Stage::Stopping
    }

    /// Whether it has started; that it has stands while it stops.
    ///
    /// # Errors
    /// What it still does.
    pub fn has_started(&self) -> Result<(), Failure> {
        let stage = *self.stage.borrow();
        if stage >= Stage::Started { Ok(()) } else { Err(Failure::new("start", stage.to_string())) }
    }

    /// Whether requests should be sent to it; answers which checks hold.
    ///
    /// # Errors
    /// The checks that do not.
    pub async fn is_ready(&self) -> Result<Vec<&'static str>, Vec<Failure>> {
        self.has_started().map_err(|failure| vec![failure])?;
        if self.is_stopping() {
            return Err(vec![Failure::new("stop", Stage::Stopping.to_string())]);
        }
        let Some(checks) = self.checks.get() else { return Ok(Vec::new()) };
        let failures = checks.failures().await;
        if failures.is_empty() { Ok(checks.names()) } else { Err(failures) }
    }

    /// Gives back what the checks look with.
    pub async fn close(&self) {
        if let Some(checks) = self.checks.get() {
            checks.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Health, Stage};

    #[tokio::test]
    async fn a_process_is_ready_between_its_start_and_the_request_to_stop() {
        let health = Health::default();
        for stage in [Stage::Servers, Stage::Databases, Stage::Schemas, Stage::CatchingUp] {
            health.reached(stage);
            let failure = Failure::new("start", stage.to_string());
            assert_eq!(health.has_started(), Err(failure.clone()));
            assert_eq!(health.is_ready().await, Err(vec![failure]));
        }
        health.reached(Stage::Started);
        health.reached(Stage::Databases);
        assert_eq!((health.has_started(), health.is_ready().await), (Ok(()), Ok(vec![])), "it never goes back");
        health.reached(Stage::Stopping);
        assert_eq!(health.has_started(), Ok(()), "nobody is to restart what stops");
        assert_eq!(health.is_ready().await, Err(vec![Failure::new("stop", "has been asked to stop")]));
    }
}
