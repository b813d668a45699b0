//! Backtests: the recorded decisions taken again under another policy, and what would have fallen otherwise.
//!
//! The input of each is the standing that was recorded with it, so a backtest is exact and repeatable: the same decisions
//! under the same policy give the same report. It takes each decision by itself: a loan that the other policy would not
//! have granted stands in later standings all the same, as it was granted.
//!
//! Decisions are read from the read model in the order in which they were taken, a batch at a time, so that a million of
//! them need no more memory than a thousand.

mod comparison;
mod moment;
pub mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aggregates::policy::Policy;
use chrono::{DateTime, Utc};
use projections::decisions::{self, Span};
use projections::{Projection, checkpoint};
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::comparison::{CompareError, Comparison};
pub use self::moment::Moment;
pub use self::report::Report;

/// Decisions that are held in memory at once.
pub const BATCH_DECISIONS: i64 = 500;
/// Decisions that are listed each way, where nobody says how many.
pub const DEFAULT_EXAMPLES: u8 = 10;
/// Decisions that are listed each way, at most.
pub const MAX_EXAMPLES: u8 = 100;

/// Why a backtest did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The read model did not answer.
    #[error("the decisions could not be read")]
    Database(#[from] sqlx::Error),
    /// The read model does not have the decisions from before it was there.
    #[error("the decisions are being filled in for the first time; try again when their rebuild is done")]
    NotFilled,
    /// A decision cannot be taken again.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// A batch ended without a word.
    #[error("a batch of decisions ended without a word")]
    Task(#[from] tokio::task::JoinError),
}

/// The right to run a backtest in this process: one at a time, for it keeps a core busy.
#[derive(Debug)]
pub struct Backtests(Arc<Semaphore>);

impl Default for Backtests {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Backtests {
    /// The right, for as long as it is held; `None` while somebody else has it.
    #[must_use]
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// A backtest under way. Whoever runs it takes step after step, and stops it by letting go of it.
#[derive(Debug)]
pub struct Backtest {
    read_models: PgPool,
    policy: Arc<Policy>,
    /// What was asked for.
    asked: Span,
    /// The same with an end, so that it ends whatever is decided meanwhile.
    span: Span,
    behind: Option<(DateTime<Utc>, i64)>,
    done: i64,
    total: i64,
    comparison: Comparison,
}

impl Backtest {
    /// Begins one: decisions of a span under another policy, with so many examples each way.
    ///
    /// # Errors
    /// [`BacktestError`], when the decisions cannot be read.
    pub async fn begin(
        read_models: PgPool,
        policy: Arc<Policy>,
        asked: Span,
        examples: u8,
    ) -> Result<Self, BacktestError> {
        if !checkpoint::is_filled(&read_models, Projection::Decisions).await? {
            return Err(BacktestError::NotFilled);
        }
        let span = Span { until: Some(asked.until.unwrap_or_else(Utc::now)), ..asked };
        let total = decisions::count(&read_models, span).await?;
        let comparison = Comparison::new(usize::from(examples));
        Ok(Self { read_models, policy, asked, span, behind: None, done: 0, total, comparison })
    }

    /// Takes the next batch again; `false` when there was none left.
    ///
    /// # Errors
    /// [`BacktestError`]; the backtest is over then.
    pub async fn step(&mut self) -> Result<bool, BacktestError> {
        let batch = decisions::batch(&self.read_models, self.span, self.behind, BATCH_DECISIONS).await?;
        let Some(last) = batch.last() else { return Ok(false) };
        self.behind = Some((last.decided_at, last.decision_id));
        self.done += i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let (policy, mut comparison) = (Arc::clone(&self.policy), std::mem::take(&mut self.comparison));
        // It keeps a core busy for a while, which belongs to no task that others wait for.
        let compared = tokio::task::spawn_blocking(move || {
            batch.iter().try_for_each(|decision| comparison.add(&policy, decision))?;
            Ok::<_, CompareError>(comparison)
        });
        self.comparison = compared.await??;
        Ok(true)
    }

    /// How many decisions were taken again, and how many there are to take.
    #[must_use]
    pub const fn progress(&self) -> (i64, i64) {
        (self.done, if self.total < self.done { self.done } else { self.total })
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(self) -> Report {
        Report::new(self.policy.reference(), self.asked, self.comparison)
    }

    /// Takes all that are left again.
    ///
    /// # Errors
    /// [`BacktestError`].
    pub async fn finish(mut self) -> Result<Report, BacktestError> {
        while self.step().await? {}
        Ok(self.report())
    }
}
