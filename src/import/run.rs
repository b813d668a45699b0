//! An import step by step: whoever runs it reads the next rows, takes them, and decides in between whether to go on.
//!
//! Both workbooks are read through before anything is written, so that a wrong file stops the import at its start.
//! Reading may be given up at any time; taking rows appends, and is to be let come to its end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::store::EventLog;

use super::loans::Earlier;
use super::reading::Sheet;
use super::report::{Notice, NoticeKind, Tally};
use super::rows::{CustomerRow, LoanRow, Parsed, Reject, Warning};
use super::{ImportError, Job, Stage};

/// How often a chunk is resolved again because somebody took an id or a number meanwhile.
pub(super) const MAX_CHUNK_ATTEMPTS: u32 = 20;
const CHUNK_PAUSE: Duration = Duration::from_millis(25);

/// Who a customer of the workbook is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A customer.
    Customer(i64),
    /// One that a real run would have imported.
    Pending,
}

/// What was read, and is to be taken.
pub(super) enum Batch {
    /// A workbook was read through a little further, to so many rows.
    Looked(u64),
    /// The next customers.
    Customers(Vec<Parsed<CustomerRow>>),
    /// The next loans.
    Loans(Vec<Parsed<LoanRow>>),
}

/// How far an import has come after a step.
pub(super) struct Step {
    /// At what.
    pub(super) stage: Stage,
    /// Rows of this stage's workbook that are done.
    pub(super) rows: u64,
    /// Rows of it in all, once that is known.
    pub(super) expected: Option<u64>,
    /// What was noticed in this step.
    pub(super) notices: Vec<Notice>,
}

/// What came of a chunk's groups, each with whether it was appended: what was, and how many rows were not because somebody
/// was faster.
pub(super) fn came_of<New>(
    groups: Vec<Result<(Vec<New>, bool), ImportError>>,
) -> Result<(Vec<New>, usize), ImportError> {
    let (mut appended, mut missed) = (Vec::new(), 0);
    for group in groups {
        match group? {
            (new, true) => appended.extend(new),
            (new, false) => missed += new.len(),
        }
    }
    Ok((appended, missed))
}

/// One import at work.
pub(super) struct Run<'a> {
    pub(super) log: &'a EventLog,
    pub(super) job: &'a Job,
    pub(super) at: DateTime<Utc>,
    customers: Option<Sheet<CustomerRow>>,
    loans: Option<Sheet<LoanRow>>,
    /// The customers of this import's own workbook, by the id they have there; `None` for one whose row was not taken,
    /// so that its loans are not taken either.
    pub(super) owners: HashMap<String, Option<Owner>>,
    /// A dry run writes nothing, so it has to remember by itself which numbers earlier rows have taken.
    pub(super) pretended: HashSet<String>,
    pub(super) earlier: Earlier,
    /// The workbook that is being taken.
    workbook: String,
    notices: Vec<Notice>,
}

impl<'a> Run<'a> {
    pub(super) fn new(log: &'a EventLog, job: &'a Job) -> Self {
        Self {
            log,
            job,
            at: Utc::now(),
            customers: job.customers.as_ref().map(|source| Sheet::of_customers(source, job.today)),
            loans: job.loans.as_ref().map(|source| Sheet::of_loans(source, job.today)),
            owners: HashMap::new(),
            pretended: HashSet::new(),
            earlier: Earlier::default(),
            workbook: String::new(),
            notices: Vec::new(),
        }
    }

    /// What has become of the customers and of the loans so far.
    pub(super) fn tallies(&self) -> (Tally, Tally) {
        let customers = self.customers.as_ref().map(|sheet| sheet.tally.clone());
        let loans = self.loans.as_ref().map(|sheet| sheet.tally.clone());
        (customers.unwrap_or_default(), loans.unwrap_or_default())
    }

    /// Rows of both workbooks, once both have been read through.
    pub(super) fn expected(&self) -> Option<u64> {
        let customers = self.customers.as_ref().map_or(Some(0), Sheet::rows)?;
        let loans = self.loans.as_ref().map_or(Some(0), Sheet::rows)?;
        Some(customers + loans)
    }

    /// Reads on; `None` once everything is done.
    pub(super) async fn read(&mut self) -> Result<Option<Batch>, ImportError> {
        let mut looked_at = 0;
        if let Some(sheet) = &mut self.customers {
            if let Some(rows) = sheet.look().await? {
                return Ok(Some(Batch::Looked(rows)));
            }
            looked_at += sheet.rows().unwrap_or(0);
        }
        if let Some(sheet) = &mut self.loans
            && let Some(rows) = sheet.look().await?
        {
            return Ok(Some(Batch::Looked(looked_at + rows)));
        }
        if let Some(sheet) = &mut self.customers
            && let Some(rows) = sheet.next().await?
        {
            return Ok(Some(Batch::Customers(rows)));
        }
        if let Some(sheet) = &mut self.loans
            && let Some(rows) = sheet.next().await?
        {
            return Ok(Some(Batch::Loans(rows)));
        }
        Ok(None)
    }

    /// Takes what was read.
    pub(super) async fn take(&mut self, batch: Batch) -> Result<Step, ImportError> {
        let (stage, rows, expected) = match batch {
            Batch::Looked(rows) => (Stage::Checking, rows, None),
            Batch::Customers(rows) => {
                // Without it no rows of it were read.
                let Some(mut sheet) = self.customers.take() else { return Err(ImportError::OutOfTurn) };
                self.workbook = sheet.workbook();
                self.take_customers(&mut sheet, rows).await?;
                let sheet = self.customers.insert(sheet);
                (Stage::Customers, sheet.tally.read, sheet.rows())
            }
            Batch::Loans(rows) => {
                let Some(mut sheet) = self.loans.take() else { return Err(ImportError::OutOfTurn) };
                self.workbook = sheet.workbook();
                self.take_loans(&mut sheet, rows).await?;
                let sheet = self.loans.insert(sheet);
                (Stage::Loans, sheet.tally.read, sheet.rows())
            }
        };
        Ok(Step { stage, rows, expected, notices: std::mem::take(&mut self.notices) })
    }

    /// Takes the rows out of parsed ones; counts and notes the rest.
    pub(super) fn sift<T>(&mut self, parsed: Vec<Parsed<T>>, tally: &mut Tally) -> Vec<T> {
        let mut rows = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            tally.read += 1;
            match parsed {
                Parsed::Row { value, warnings } => {
                    self.warn(&warnings);
                    rows.push(value);
                }
                Parsed::Reject(reject) => self.reject(&reject, tally),
            }
        }
        rows
    }

    pub(super) fn warn(&mut self, warnings: &[Warning]) {
        for warning in warnings {
            self.note(NoticeKind::Warning, &warning.sheet, warning.row, warning.column.as_deref(), &warning.message);
        }
    }

    pub(super) fn reject(&mut self, reject: &Reject, tally: &mut Tally) {
        tally.rejected += 1;
        self.note(NoticeKind::Reject, &reject.sheet, reject.row, reject.column.as_deref(), &reject.reason);
    }

    fn note(&mut self, kind: NoticeKind, sheet: &str, row: u32, column: Option<&str>, reason: &str) {
        self.notices.push(Notice {
            kind,
            workbook: self.workbook.clone(),
            sheet: sheet.to_owned(),
            row,
            column: column.map(str::to_owned),
            reason: reason.to_owned(),
        });
    }

    /// Before a chunk is resolved again.
    pub(super) async fn pause() {
        tokio::time::sleep(CHUNK_PAUSE).await;
    }
}
