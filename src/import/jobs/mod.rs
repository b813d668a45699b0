//! Imports in the background: uploaded through one process, worked on by any.
//!
//! An upload is written piece by piece into the log's database ([`upload`]). Importers take what waits there
//! ([`work`]), one at a time each, under a lease that ends with its holder ([`lease`]); what an importer has left in
//! the middle another takes up at once. [`read`] tells of imports, [`upkeep`] removes what has done its duty. Here is
//! what an import is. It knows no HTTP.

mod lease;
mod read;
mod settle;
pub mod upkeep;
pub mod upload;
pub mod work;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use sqlx::types::Json;
use tokio::sync::Semaphore;

use super::Stage;
use super::report::Tally;
use crate::databases::connections::Connections;

pub use self::read::{Cancelled, Page};

/// So many uploads at once through one process.
const MAX_UPLOADS: usize = 8;
/// So many imports may wait or run; more are not taken.
const MAX_OPEN: i64 = 100;
/// While those that wait or run have so many bytes, no more are taken.
const MAX_OPEN_BYTES: i64 = 2 << 30;

/// The columns of an [`Import`].
const COLUMNS: &str = "id, state, dry_run, cancel_requested, customers_file, customers_bytes, loans_file, loans_bytes,
     stage, rows_done, rows_total, rows_per_second, customers, loans, warnings, notices_attempt, notices_kept,
     error, created_at, started_at, ended_at";

/// How an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// For an importer: for the first, or, after that one was stopped, for another.
    Waiting,
    /// An importer works on it, or another is about to take it over.
    Running,
    /// It came to its end.
    Done,
    /// It could not be done; what was imported until then stays.
    Failed,
    /// It was stopped; what was imported until then stays.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// Which of an import's two workbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Customers.
    Customers,
    /// Loans.
    Loans,
}

impl FileKind {
    /// Its name, which is also that of the field it is uploaded in.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Loans => "loans",
        }
    }
}

impl Stage {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Customers => "customers",
            Self::Loans => "loans",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Checking, Self::Customers, Self::Loans].into_iter().find(|stage| stage.name() == name)
    }
}

/// A workbook of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workbook {
    /// Its file name, as it was uploaded.
    pub name: String,
    /// Its size.
    pub bytes: i64,
    /// What has become of its rows so far; in a dry run, what would.
    pub tally: Tally,
}

/// An import, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: i64,
    /// How it stands.
    pub state: State,
    /// Whether everything is checked and nothing written.
    pub dry_run: bool,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// Workbook of customers.
    pub customers: Option<Workbook>,
    /// Workbook of loans.
    pub loans: Option<Workbook>,
    /// What is at work; `None` before it began.
    pub stage: Option<Stage>,
    /// Rows that are done, of both workbooks; while they are checked, rows that were read.
    pub rows_done: i64,
    /// Rows of both workbooks, once they have been read through.
    pub rows_total: Option<i64>,
    /// Rows done a second, since this stage began.
    pub rows_per_second: i64,
    /// Rows that were taken although something about them is odd.
    pub warnings: i64,
    /// The attempt at it whose notices are shown.
    pub notices_attempt: i32,
    /// Notices that are kept; beyond so many they are only counted.
    pub notices_kept: i64,
    /// Why it failed; of one that is not ended, what interrupted it last.
    pub error: Option<String>,
    /// When it was uploaded.
    pub created_at: DateTime<Utc>,
    /// When an importer first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    state: String,
    dry_run: bool,
    cancel_requested: bool,
    customers_file: Option<String>,
    customers_bytes: Option<i64>,
    loans_file: Option<String>,
    loans_bytes: Option<i64>,
    stage: Option<String>,
    rows_done: i64,
    rows_total: Option<i64>,
    rows_per_second: i64,
    customers: Option<Json<Tally>>,
    loans: Option<Json<Tally>>,
    warnings: i64,
    notices_attempt: i32,
    notices_kept: i64,
    error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

fn workbook(name: Option<String>, bytes: Option<i64>, tally: Option<Json<Tally>>) -> Option<Workbook> {
    let tally = tally.map(|Json(tally)| tally).unwrap_or_default();
    Some(Workbook { name: name?, bytes: bytes?, tally })
}

impl TryFrom<Row> for Import {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let state = State::ALL.into_iter().find(|state| state.name() == row.state);
        Ok(Self {
            id: row.id,
            state: state.ok_or_else(|| sqlx::Error::Decode("an import is in a state that there is not".into()))?,
            dry_run: row.dry_run,
            cancel_requested: row.cancel_requested,
            customers: workbook(row.customers_file, row.customers_bytes, row.customers),
            loans: workbook(row.loans_file, row.loans_bytes, row.loans),
            stage: row.stage.as_deref().and_then(Stage::from_name),
            rows_done: row.rows_done,
            rows_total: row.rows_total,
            rows_per_second: row.rows_per_second,
            warnings: row.warnings,
            notices_attempt: row.notices_attempt,
            notices_kept: row.notices_kept,
            error: row.error,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
}

/// The imports of a log.
#[derive(Clone)]
pub struct Imports {
    log: Connections,
    max_bytes: u64,
    uploads: Arc<Semaphore>,
}

impl Imports {
    /// Of that log; both workbooks of one import together have at most so many bytes.
    #[must_use]
    pub fn new(log: impl Into<Connections>, max_bytes: u64) -> Self {
        Self { log: log.into(), max_bytes, uploads: Arc::new(Semaphore::new(MAX_UPLOADS)) }
    }

    /// What both workbooks of one import may have together, in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}
