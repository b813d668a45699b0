//! Importing workbooks of customers and loans.
//!
//! A workbook is read as a stream ([`workbook`], [`rows`]) and appended in chunks, each one transaction: its events
//! and the note of which row became which id ([`resolve`]). So a killed import goes on where it stopped when it is
//! run again, and the same file twice changes nothing. No row is lost and none overwrites another: a row is imported,
//! was imported before, or is rejected with its reason.

mod cell;
mod columns;
mod customers;
mod loans;
pub mod report;
mod resolve;
pub mod rows;
pub mod workbook;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::commands::CommandError;
use crate::store::EventLog;
use crate::store::append::AppendError;

use self::report::{Notices, Summary, Tally};
use self::rows::{Parsed, Reject, Warning};
use self::workbook::{SheetSummary, WorkbookError};

/// Rows of one transaction: few enough that the log is held back for milliseconds only.
const CHUNK_ROWS: usize = 500;
/// How often a chunk is resolved again because somebody took an id or a number meanwhile.
const MAX_CHUNK_ATTEMPTS: u32 = 20;
const CHUNK_PAUSE: Duration = Duration::from_millis(25);

/// What to import, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// Workbook of customers.
    pub customers: Option<PathBuf>,
    /// Workbook of loans.
    pub loans: Option<PathBuf>,
    /// Check everything, write nothing.
    pub dry_run: bool,
    /// Where rejects and warnings are written as CSV; `None` to count them only.
    pub notices: Option<PathBuf>,
    /// The business day: what has fallen due by then is odd if it is not yet paid.
    pub today: NaiveDate,
}

/// Which part of an import is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
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
    let mut run = Run { log, job, at: Utc::now(), notices: &mut notices, customers: HashMap::new() };
    // Both workbooks are read through before anything is written, so that a wrong file stops the import at its start.
    let customers = match &job.customers {
        Some(path) => Some(run.look_through_customers(path).await?),
        None => None,
    };
    let loans = match &job.loans {
        Some(path) => Some(run.look_through_loans(path).await?),
        None => None,
    };
    let mut summary = Summary { dry_run: job.dry_run, ..Summary::default() };
    if let Some(sheet) = customers {
        summary.customers = run.customers(sheet, |rows, expected| progress(Stage::Customers, rows, expected)).await?;
    }
    if let Some(sheet) = loans {
        summary.loans = run.loans(sheet, |rows, expected| progress(Stage::Loans, rows, expected)).await?;
    }
    summary.notices = notices.finish()?;
    summary.warnings = notices.warnings;
    summary.shown = notices.shown;
    Ok(summary)
}

/// A workbook that was read through once.
struct LookedThrough {
    path: PathBuf,
    sheet: String,
    rows: u64,
    /// The largest id among its rows that is kept, so that new ids go on above it.
    largest_id: i64,
}

/// Who a customer of the workbook is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A customer.
    Customer(i64),
    /// One that a real run would have imported.
    Pending,
}

/// One import at work.
struct Run<'a> {
    log: &'a EventLog,
    job: &'a Job,
    at: DateTime<Utc>,
    notices: &'a mut Notices,
    /// The customers of this import's own workbook, by the id they have there; `None` for one whose row was not taken,
    /// so that its loans are not taken either.
    customers: HashMap<String, Option<Owner>>,
}

impl Run<'_> {
    /// Takes the rows out of parsed ones; counts and notes the rest.
    fn sift<T>(&mut self, parsed: Vec<Parsed<T>>, tally: &mut Tally) -> Result<Vec<T>, ImportError> {
        let mut rows = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            tally.read += 1;
            match parsed {
                Parsed::Row { value, warnings } => {
                    self.warn(&warnings)?;
                    rows.push(value);
                }
                Parsed::Reject(reject) => self.reject(&reject, tally)?,
            }
        }
        Ok(rows)
    }

    fn warn(&mut self, warnings: &[Warning]) -> Result<(), ImportError> {
        warnings.iter().try_for_each(|warning| self.notices.warn(warning)).map_err(ImportError::from)
    }

    fn reject(&mut self, reject: &Reject, tally: &mut Tally) -> Result<(), ImportError> {
        tally.rejected += 1;
        Ok(self.notices.reject(reject)?)
    }

    /// Before a chunk is resolved again.
    async fn pause() {
        tokio::time::sleep(CHUNK_PAUSE).await;
    }
}

/// The rows of a workbook, read on a thread of its own, a bounded number ahead.
struct Reading<T> {
    rows: mpsc::Receiver<Parsed<T>>,
    reader: JoinHandle<Result<SheetSummary, WorkbookError>>,
    path: PathBuf,
}

impl<T: Send + 'static> Reading<T> {
    fn start(
        path: &Path,
        read: impl FnOnce(&Path, &mut dyn FnMut(Parsed<T>) -> ControlFlow<()>) -> Result<SheetSummary, WorkbookError>
        + Send
        + 'static,
    ) -> Self {
        let (send, rows) = mpsc::channel(CHUNK_ROWS);
        let file = path.to_owned();
        let reader = tokio::task::spawn_blocking(move || {
            let mut pass_on = |parsed| match send.blocking_send(parsed) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            read(&file, &mut pass_on)
        });
        Self { rows, reader, path: path.to_owned() }
    }

    /// The next rows; none at the end.
    async fn chunk(&mut self) -> Vec<Parsed<T>> {
        let mut chunk = Vec::with_capacity(CHUNK_ROWS);
        while chunk.len() < CHUNK_ROWS {
            let missing = CHUNK_ROWS - chunk.len();
            if self.rows.recv_many(&mut chunk, missing).await == 0 {
                break;
            }
        }
        chunk
    }

    /// How reading ended, once there are no more rows.
    async fn finish(self) -> Result<SheetSummary, ImportError> {
        self.reader.await?.map_err(|source| ImportError::Workbook { path: self.path, source })
    }
}

/// Reads a workbook through, to see that it can be read and which ids its rows would like to keep.
async fn look_through<T: Send + 'static>(
    mut reading: Reading<T>,
    id: impl Fn(&T) -> Option<i64>,
) -> Result<LookedThrough, ImportError> {
    let mut largest_id = 0;
    loop {
        let chunk = reading.chunk().await;
        if chunk.is_empty() {
            break;
        }
        for parsed in chunk {
            if let Parsed::Row { value, .. } = parsed {
                largest_id = id(&value).unwrap_or(0).max(largest_id);
            }
        }
    }
    let path = reading.path.clone();
    let SheetSummary { sheet, rows, .. } = reading.finish().await?;
    Ok(LookedThrough { path, sheet, rows, largest_id })
}
