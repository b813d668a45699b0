//! What an import did: counts for the summary, and every row that was not taken, with its reason, as CSV.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// So many rejects and warnings are shown; the file holds them all.
const SHOWN: usize = 20;

/// What became of the rows of one sheet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a notice says of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// It was not taken.
    Reject,
    /// It was taken, although something about it is odd.
    Warning,
}

impl NoticeKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Reject, Self::Warning];

    /// Its name: `reject` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Warning => "warning",
        }
    }

    /// By its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a row was not taken, or what is odd about it. It holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which of the two.
    pub kind: NoticeKind,
    /// The workbook's file name.
    pub workbook: String,
    /// The sheet's name.
    pub sheet: String,
    /// The row as the spreadsheet numbers it, from 1.
    pub row: u32,
    /// The column's title as it stands in the file; `None` for the row as a whole.
    pub column: Option<String>,
    /// What is wrong or odd, a sentence whose subject is the column.
    pub reason: String,
}

/// The titles of a file of notices.
pub const TITLES: [&str; 6] = ["kind", "workbook", "sheet", "row", "column", "reason"];

/// Writes such a file; every cell is in quotes, so that no separator of any spreadsheet's takes a text apart.
#[must_use]
pub fn writer<W: Write>(to: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(to)
}

/// A notice as a row under [`TITLES`].
#[must_use]
pub fn record(notice: &Notice) -> [String; 6] {
    let Notice { kind, workbook, sheet, row, column, reason } = notice;
    let texts = [workbook, sheet, column.as_deref().unwrap_or_default(), reason];
    let [workbook, sheet, column, reason] = texts.map(|text| harmless(text).into_owned());
    [kind.name().to_owned(), workbook, sheet, row.to_string(), column, reason]
}

/// A text that no spreadsheet takes for a formula: names and titles are anybody's, and the file is opened by somebody
/// else.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Collects notices into a CSV file, which stays only if there are any.
pub(super) struct Notices {
    file: Option<(PathBuf, csv::Writer<std::fs::File>)>,
    noticed: bool,
    pub(super) warnings: u64,
    pub(super) shown: Vec<String>,
}

impl Notices {
    /// `path`: where to write them; `None` to count them only.
    pub(super) fn create(path: Option<&Path>) -> Result<Self, csv::Error> {
        let file = match path {
            Some(path) => {
                let mut file = writer(std::fs::File::create(path)?);
                file.write_record(TITLES)?;
                Some((path.to_owned(), file))
            }
            None => None,
        };
        Ok(Self { file, noticed: false, warnings: 0, shown: Vec::new() })
    }

    pub(super) fn add(&mut self, notice: &Notice) -> Result<(), csv::Error> {
        self.noticed = true;
        self.warnings += u64::from(notice.kind == NoticeKind::Warning);
        if self.shown.len() < SHOWN {
            let Notice { kind, workbook, sheet, row, column, reason } = notice;
            let (kind, column) = (kind.name(), column.as_deref().unwrap_or_default());
            self.shown.push(format!("{kind}: {workbook}, sheet {sheet}, row {row}, {column}: {reason}"));
        }
        match &mut self.file {
            Some((_, file)) => file.write_record(record(notice)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let notice = Notice {
            kind: NoticeKind::Reject,
            workbook: "=cmd|' /C calc'!A0.xlsx".to_owned(),
            sheet: "@SUM(1)".to_owned(),
            row: 7,
            column: Some("+Age".to_owned()),
            reason: "must not be negative (found '-5')".to_owned(),
        };
        let [kind, workbook, sheet, row, column, reason] = record(&notice);
        assert_eq!((kind.as_str(), row.as_str()), ("reject", "7"));
        assert_eq!(workbook, "'=cmd|' /C calc'!A0.xlsx");
        assert_eq!((sheet.as_str(), column.as_str()), ("'@SUM(1)", "'+Age"));
        assert_eq!(reason, notice.reason, "what begins harmlessly stands as it is");
    }
}
