//! What an import did: counts for the summary, and every row that was not taken, with its reason, as CSV.

use std::fmt;
use std::path::{Path, PathBuf};

use super::rows::{Reject, Warning};

/// So many rejects and warnings are shown; the file holds them all.
const SHOWN: usize = 20;

/// What became of the rows of one sheet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were not blank.
    pub read: u64,
    /// Rows that are new.
    pub imported: u64,
    /// Of the new ones, those that got another id and keep their own as `external_id`.
    pub renumbered: u64,
    /// Rows that had been imported before.
    pub unchanged: u64,
    /// Rows that were not taken.
    pub rejected: u64,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Customers.
    pub customers: Tally,
    /// Loans.
    pub loans: Tally,
    /// Rows that were taken although something about them is odd.
    pub warnings: u64,
    /// Where the rejects and warnings stand, if there are any.
    pub notices: Option<PathBuf>,
    /// The first rejects and warnings, in words.
    pub shown: Vec<String>,
    /// Whether anything was written.
    pub dry_run: bool,
}

impl Summary {
    /// Rows that were not taken.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.customers.rejected + self.loans.rejected
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, imported, renumbered, unchanged, rejected } = self;
        write!(
            f,
            "{read} rows: {imported} imported ({renumbered} under a new id, their own kept as external_id), \
             {unchanged} unchanged, {rejected} rejected"
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dry_run {
            writeln!(f, "dry run: nothing was written")?;
        }
        writeln!(f, "customers  {}", self.customers)?;
        writeln!(f, "loans      {}", self.loans)?;
        writeln!(f, "warnings   {}", self.warnings)?;
        for notice in &self.shown {
            writeln!(f, "  {notice}")?;
        }
        if let Some(path) = &self.notices {
            writeln!(f, "all rejects and warnings: {}", path.display())?;
        }
        Ok(())
    }
}

/// Collects rejects and warnings into a CSV file, which stays only if there are any.
pub(super) struct Notices {
    file: Option<(PathBuf, csv::Writer<std::fs::File>)>,
    workbook: String,
    noticed: bool,
    pub(super) warnings: u64,
    pub(super) shown: Vec<String>,
}

impl Notices {
    /// `path`: where to write them; `None` to count them only.
    pub(super) fn create(path: Option<&Path>) -> Result<Self, csv::Error> {
        let file = match path {
            Some(path) => {
                let mut file = csv::Writer::from_path(path)?;
                file.write_record(["kind", "workbook", "sheet", "row", "column", "reason"])?;
                Some((path.to_owned(), file))
            }
            None => None,
        };
        Ok(Self { file, workbook: String::new(), noticed: false, warnings: 0, shown: Vec::new() })
    }

    /// What follows is about that workbook.
    pub(super) fn turn_to(&mut self, workbook: &Path) {
        self.workbook = workbook.file_name().unwrap_or_default().to_string_lossy().into_owned();
    }

    pub(super) fn warn(&mut self, warning: &Warning) -> Result<(), csv::Error> {
        self.warnings += 1;
        self.write("warning", &warning.sheet, warning.row, warning.column.as_deref(), &warning.message)
    }

    pub(super) fn reject(&mut self, reject: &Reject) -> Result<(), csv::Error> {
        self.write("reject", &reject.sheet, reject.row, reject.column.as_deref(), &reject.reason)
    }

    fn write(&mut self, kind: &str, sheet: &str, row: u32, column: Option<&str>, text: &str) -> Result<(), csv::Error> {
        self.noticed = true;
        let column = column.unwrap_or_default();
        if self.shown.len() < SHOWN {
            let workbook = &self.workbook;
            self.shown.push(format!("{kind}: {workbook}, sheet {sheet}, row {row}, {column}: {text}"));
        }
        match &mut self.file {
            Some((_, file)) => file.write_record([kind, &self.workbook, sheet, &row.to_string(), column, text]),
            None => Ok(()),
        }
    }

    /// Writes out what is buffered; answers the file, if there is anything in it.
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>, csv::Error> {
        let Some((path, mut file)) = self.file.take() else { return Ok(None) };
        file.flush()?;
        if self.noticed {
            return Ok(Some(path));
        }
        std::fs::remove_file(path)?;
        Ok(None)
    }
}
