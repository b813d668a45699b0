//! Importing workbooks of customers and loans.
//!
//! A workbook is read as a stream ([`workbook`], [`rows`]) and appended in chunks, each one transaction: its events
//! and the note of which row became which id ([`resolve`]). So a killed import goes on where it stopped when it is
//! run again, and the same file twice changes nothing. No row is lost and none overwrites another: a row is imported,
//! was imported before, or is rejected with its reason.

mod cell;
mod columns;
mod customers;
pub mod jobs;
mod loans;
mod reading;
pub mod report;
mod resolve;
pub mod rows;
mod run;
pub mod workbook;

use std::collections::HashMap;
use std::path::PathBuf;

use aggregates::ids::CustomerId;
use chrono::NaiveDate;
use tokio::task::JoinError;

use crate::commands::{CommandError, Origin};
use crate::store::EventLog;
use crate::store::append::AppendError;

use self::report::{Notices, Summary};
use self::run::{MAX_CHUNK_ATTEMPTS, Run};
use self::workbook::{Source, WorkbookError};

/// What to import, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// Workbook of customers.
    pub customers: Option<Source>,
    /// Workbook of loans.
    pub loans: Option<Source>,
    /// Check everything, write nothing.
    pub dry_run: bool,
    /// Where rejects and warnings are written as CSV; `None` to count them only.
    pub notices: Option<PathBuf>,
    /// The business day: what has fallen due by then is odd if it is not yet paid.
    pub today: NaiveDate,
    /// The background import that this is, so that it knows its own rows when it goes on after an interruption.
    pub import: Option<Background>,
}

/// A background import, as its rows and events name it.
#[derive(Debug, Clone)]
pub struct Background {
    /// Its id.
    pub id: i64,
    /// The request that uploaded it.
    pub origin: Origin,
}

impl Job {
    /// The id of the background import that this is.
    fn import_id(&self) -> Option<i64> {
        self.import.as_ref().map(|import| import.id)
    }

    /// The metadata of its events about a customer.
    fn metadata(&self, customer: CustomerId) -> HashMap<String, String> {
        let Some(Background { id, origin }) = &self.import else { return Origin::default().metadata(customer) };
        let mut metadata = origin.metadata(customer);
        metadata.insert("import_id".to_owned(), id.to_string());
        metadata
    }
}

/// Which part of an import is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The workbooks are read through; nothing is written yet.
    Checking,
    /// Customers.
    Customers,
    /// Loans.
    Loans,
}

/// Why an import ended early. What was imported until then stays, and is skipped next time.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not a workbook of that kind.
    #[error("{}", path.display())]
    Workbook {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: WorkbookError,
    },
    /// The store refused or did not answer.
    #[error("the event store did not answer")]
    Store(#[from] sqlx::Error),
    /// Events could not be appended.
    #[error("the rows could not be stored")]
    Append(#[from] AppendError),
    /// A row that was checked led to no events.
    #[error("a row was refused by the domain")]
    Command(#[from] CommandError),
    /// Others took ids or phone numbers of the same rows again and again.
    #[error("others changed the same rows {MAX_CHUNK_ATTEMPTS} times in a row")]
    Contention,
    /// The file of rejects cannot be written.
    #[error("the file of rejects cannot be written")]
    Notices(#[from] csv::Error),
    /// The sample workbooks could not be made.
    #[error("the sample workbooks could not be made")]
    Generate(#[from] crate::generate::GenerateError),
    /// The sample directory could not be written.
    #[error("the directory of the sample workbooks could not be written")]
    Sample(#[source] std::io::Error),
    /// The reader of the workbook failed.
    #[error("reading the workbook was interrupted")]
    Reader(#[from] JoinError),
    /// Rows were to be taken of a workbook that is none of this import's: a fault of this program.
    #[error("rows were taken of a workbook that is not there")]
    OutOfTurn,
}

/// Imports workbooks; `progress` hears of each chunk: the stage, rows done, rows in all.
///
/// # Errors
/// [`ImportError`].
pub async fn import(
    log: &EventLog,
    job: &Job,
    mut progress: impl FnMut(Stage, u64, u64),
) -> Result<Summary, ImportError> {
    let mut notices = Notices::create(job.notices.as_deref())?;
    let mut run = Run::new(log, job);
    while let Some(batch) = run.read().await? {
        let step = run.take(batch).await?;
        step.notices.iter().try_for_each(|notice| notices.add(notice))?;
        if let Some(expected) = step.expected {
            progress(step.stage, step.rows, expected);
        }
    }
    let (customers, loans) = run.tallies();
    let file = notices.finish()?;
    let Notices { warnings, shown, .. } = notices;
    Ok(Summary { customers, loans, warnings, notices: file, shown, dry_run: job.dry_run })
}
